package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNovaWords(t *testing.T) {
	t.Parallel()
	conf, err := LoadWorker(write(t, minimalWorker+`[nova]
image_pattern = adt/ubuntu-$RELEASE-.*
flavor = m1.small
rc_files = /srv/lcy01.rc /srv/lgw01.rc
key_file = /srv/key
novaopts = --keyname=testbed --net-id net_tests -s one,two -a --floating-pool=outside -l debian -e 'no_proxy=a, b' --env=X=1 --mirror=http://archive.example.com/ubuntu
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseNovaTestbed(conf.Nova.NovaWords(conf.Nova.BigFlavor))
	if err != nil {
		t.Fatal(err)
	}
	want := NovaTestbed{
		RCFiles: []string{"/srv/lcy01.rc", "/srv/lgw01.rc"}, KeyFile: "/srv/key", Flavor: "m1.small", Image: "adt/ubuntu-$RELEASE-.*",
		NovaOptions: NovaOptions{
			KeyName: "testbed", Network: "net_tests", Groups: []string{"one", "two"}, FloatingIP: true, Pool: "outside", Login: "debian",
			Mirror: "http://archive.example.com/ubuntu", Environment: []string{"no_proxy=a, b", "X=1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := LoadWorker(write(t, string(conf.Bytes())))
	if diff := cmp.Diff(conf.Nova, again.Nova); err != nil || diff != "" {
		t.Errorf("written and read: %v\n%s", err, diff)
	}
}

func TestNovaRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ line, reason string }{
		"unknown option":       {"novaopts = --keyname=x --poll", "unknown flag: --poll; known are --keyname"},
		"unknown letter":       {"novaopts = -x", "unknown shorthand flag"},
		"a word too many":      {"novaopts = --keyname a b", `"b" belongs to no option`},
		"flavor":               {"novaopts = --flavor=m1.huge", "the keys flavor and big_flavor say that"},
		"image":                {"novaopts = -i x", "the key image_pattern says that"},
		"name":                 {"novaopts = -n x", "the worker names each testbed"},
		"reboot":               {"novaopts = --nova-reboot", "have to reboot by themselves"},
		"no variable":          {"novaopts = -e proxy", "not KEY=VALUE"},
		"password for all":     {"novaopts = -e http_proxy=http://joe:S3KRIT@proxy:3128", "would see the password"},
		"password of a mirror": {"novaopts = --mirror=http://joe:S3KRIT@mirror/x", "would see the password"},
		"mirror":               {"novaopts = --mirror=archive.example.com", "is not a URL"},
		"user":                 {"novaopts = -l 'a b'", "not the name of a user"},
		"pool of nothing":      {"novaopts = --floating-pool outside", "without --associate-ip no testbed has a floating IP"},
		"group without a name": {"novaopts = -s a,,b", "separated by single commas"},
		"relative RC file":     {"rc_files = lcy01.rc", "is not an absolute path"},
		"RC file twice":        {"rc_files = /a /a", "is there twice"},
		"relative key":         {"key_file = key", "is not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, minimalWorker+"[nova]\n"+test.line+"\n")
			_, err := LoadWorker(path)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path+":13:") || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%v; want line 13 and %q", err, test.reason)
			}
			if err != nil && strings.Contains(err.Error(), "S3KRIT") {
				t.Error("the error has the password")
			}
		})
	}
	for _, words := range [][]string{{"--flavor", "x"}, {"--image", "x"}, {"--flavor", "x", "--image", "y", "--later"}} {
		if _, err := ParseNovaTestbed(words); err == nil {
			t.Errorf("%q is taken", words)
		}
	}
}
