package config

import (
	"errors"
	"strings"
	"testing"
)

func TestParseKeyName(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content, want, place, fails string
	}{
		"2015":               {readFile(t, "testdata/worker-2015.conf"), "testbed", "worker.conf:", ""},
		"next word":          {"[nova]\nnovaopts = -e 'a=b c' --keyname testbed-1 --net-id=x\n", "testbed-1", "worker.conf:2", ""},
		"short":              {"[nova]\nnovaopts = -k one\n", "one", "worker.conf:2", ""},
		"short, one word":    {"[nova]\nnovaopts = -kone\n", "one", "worker.conf:2", ""},
		"the last counts":    {"[nova]\nnovaopts = -k one --keyname=two\n", "two", "worker.conf:2", ""},
		"virt":               {"[virt]\n# x\nargs = ssh -s /usr/share/autopkgtest/ssh-setup/nova -- --keyname 'a b'\n", "a b", "worker.conf:3", ""},
		"both the same":      {"[nova]\nnovaopts = -k one\n[virt]\nargs = ssh -- -k one\n", "one", "worker.conf:4", ""},
		"both, and not":      {"[nova]\nnovaopts = -k one\n[virt]\nargs = ssh -- -k two\n", "", "", `worker.conf:4: [virt] args: the key pair is "two", and in worker.conf:2 it is "one"`},
		"none":               {"[nova]\nnovaopts = --net-id=x\n", "", "", "worker.conf:2: [nova] novaopts: names no key pair"},
		"none at all":        {"[lxc]\n", "", "", "worker.conf: [nova] novaopts: names no key pair"},
		"without a name":     {"[nova]\nnovaopts = --net-id=x --keyname\n", "", "", "worker.conf:2: [nova] novaopts: flag needs an argument: --keyname"},
		"depends on the run": {"[nova]\nnovaopts = --keyname=testbed-$RELEASE\n", "", "", "worker.conf:2: [nova] novaopts: the key pair"},
		"unknown option":     {"[nova]\nnovaopts = --keyname=x --netid=x\n", "", "", "worker.conf:2: [nova] novaopts: unknown flag: --netid"},
		"virt, all of them":  {"[virt]\nargs = ssh -- --keyname=x -ky -k one\n", "one", "worker.conf:2", ""},
		"open quote":         {"[nova]\nnovaopts = -k 'one\n", "", "", "worker.conf:2: [nova] novaopts: a quote is open"},
		"no worker.conf":     {"[novae]\n", "", "", "worker.conf:1: unknown section"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseKeyName("worker.conf", []byte(test.content))
			if test.fails != "" {
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error %v, want one that says %q", err, test.fails)
				}
				return
			}
			if err != nil || got.Name != test.want || !strings.HasPrefix(got.Place, test.place) {
				t.Errorf("%+v, %v; want %q in %s", got, err, test.want, test.place)
			}
		})
	}
}
