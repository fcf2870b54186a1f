package rabbitmq

import (
	"errors"
	"strings"
	"testing"
)

// The texts are what the management API of these versions says of itself, Debian's and upstream's.
func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ with, without error }{ // with AMQP 0-8, and without the need
		"3.8.2":         {},
		"3.8.0-rc.3":    {},
		"3.9.13":        {},
		"3.10.8":        {},
		"3.12.1":        {},
		"3.13.7":        {},
		"4.0.5":         {ErrNoAMQP08, nil},
		"4.0.5+debian1": {ErrNoAMQP08, nil},
		"4.2.0-beta.1":  {ErrNoAMQP08, nil},
		"3.7.28":        {ErrUnknownVersion, ErrUnknownVersion},
		"3.14.0":        {ErrUnknownVersion, ErrUnknownVersion},
		"2.8.7":         {ErrUnknownVersion, ErrUnknownVersion},
		"5.0.0":         {ErrUnknownVersion, ErrUnknownVersion},
		"":              {ErrUnknownVersion, ErrUnknownVersion},
		"garbage":       {ErrUnknownVersion, ErrUnknownVersion},
		"3":             {ErrUnknownVersion, ErrUnknownVersion},
		"3.x":           {ErrUnknownVersion, ErrUnknownVersion},
	} {
		for needed, want := range map[bool]error{true: want.with, false: want.without} {
			err := CheckVersion(text, needed)
			if !errors.Is(err, want) {
				t.Errorf("%q, AMQP 0-8 needed: %v: got %v, want %v", text, needed, err, want)
			}
			if err != nil && text != "" && !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not named in %q", text, err)
			}
		}
	}
}

func TestCheckInstalledVersion(t *testing.T) {
	t.Parallel()
	const at = "/usr/lib/rabbitmq/lib/rabbitmq_server-"
	for name, tc := range map[string]struct {
		folders []string
		ok      bool
	}{
		"Debian 12":           {[]string{at + "3.10.8"}, true},
		"Debian 13":           {[]string{at + "4.0.5"}, true},
		"another, and a good": {[]string{at + "2.0.0", at + "3.12.1"}, true},
		"from the future":     {[]string{at + "5.1.0"}, false},
		"nobody knows":        {nil, true},
	} {
		if err := checkInstalledVersion(tc.folders); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
