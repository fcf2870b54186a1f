package host

import (
	"errors"
	"testing"
)

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		addresses []string
		ok        bool
	}{
		"none":               {nil, true},
		"some":               {[]string{"127.0.0.1", "192.0.2.1", "::1"}, true},
		"all":                {[]string{"0.0.0.0"}, true},
		"all, and one":       {[]string{"::", "192.0.2.1"}, false},
		"twice":              {[]string{"192.0.2.1", "192.0.2.1"}, false},
		"a name":             {[]string{"localhost"}, false},
		"with a port":        {[]string{"192.0.2.1:5672"}, false},
		"of one link":        {[]string{"fe80::1%eth0"}, false},
		"in another form":    {[]string{"0:0:0:0:0:0:0:1"}, false},
		"nothing":            {[]string{""}, false},
		"in brackets":        {[]string{"[::1]"}, false},
		"a part of a number": {[]string{"127.1"}, false},
	} {
		if err := CheckListen(tc.addresses); (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := Beyond([]string{"127.0.0.9", "::1", "192.0.2.1", "0.0.0.0"}); len(got) != 2 {
		t.Errorf("other machines reach %v", got)
	}
}
