package host

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		self    int
		account string
		want    string
		says    string // in the error
	}{
		"plain user":                   {id, "", "nobody", ""},
		"plain user names itself":      {id, "nobody", "nobody", ""},
		"plain user names another one": {id, "daemon", "", "run this as root"},
		"root names an account":        {0, "nobody", "nobody", ""},
		"root names root":              {0, "root", "", "services never run as root"},
		"root names nobody known":      {0, "no-such-account", "", "scripts/setup makes it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account, err := choose(test.self, test.account)
			if account.Name != test.want {
				t.Errorf("account %q, want %q (%v)", account.Name, test.want, err)
			}
			if test.says != "" && (!errors.Is(err, ErrAccount) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("error %v, want ErrAccount that says %q", err, test.says)
			}
		})
	}
}

func TestChooseForThisUser(t *testing.T) {
	t.Parallel()
	account, err := Choose("")
	if os.Geteuid() == 0 {
		if err != nil && !errors.Is(err, ErrAccount) || err == nil && account.Name != DefaultAccount {
			t.Errorf("%v, %v", account, err)
		}
	} else if err != nil || account.UID != os.Geteuid() {
		t.Errorf("%v, %v", account, err)
	}
}
