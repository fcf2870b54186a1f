package machine

import (
	"strings"
	"testing"
)

func TestFileNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		target Target
		want   string
	}{
		"defaults": {Target{Address: "10.0.0.1"}, "ssh://root@10.0.0.1:22/a/b"},
		"all":      {Target{Address: "host", Port: 2222, User: "deploy"}, "ssh://deploy@host:2222/a/b"},
		"IPv6":     {Target{Address: "::1"}, "ssh://root@[::1]:22/a/b"},
		"keys": {Target{Address: "host", IdentityFile: "/k", HostKey: "ssh-ed25519 AA+/="},
			"ssh://root@host:22/a/b?host_key=ssh-ed25519+AA%2B%2F%3D&identity_file=%2Fk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.target.File("/a/b")
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			target, file, err := ParseFile(got)
			if err != nil || target != test.target.filled() || file != "/a/b" {
				t.Errorf("%+v, %q, %v", target, file, err)
			}
		})
	}
	for name, reason := range map[string]string{
		"/a/b": "not the name", "ssh://host": "absolute", "ssh://host/": "absolute", "ssh://host/a/../b": "detours",
		"ssh:///a": "no host", "ssh://host:0/a": "port", "ssh://u:hunter2@host/a": "password", "ssh://host/a?x=1": "not known",
		"ssh://host:x/a": "not the name",
	} {
		_, _, err := ParseFile(name)
		if err == nil || !strings.Contains(err.Error(), reason) || strings.Contains(name, "hunter2") && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error that says %q", name, err, reason)
		}
	}
}

func TestFactsOfOthers(t *testing.T) {
	t.Parallel()
	for out, reason := range map[string]string{
		"Darwin arm64\n501\n/Users/x\n": "Darwin", "Welcome!\nLinux x86_64\n0\n/root\n": "says more", "Linux x86_64\nzero\n/root\n": "zero",
		"Linux x86_64\n0\n\n": "home",
	} {
		if _, err := parseFacts(out); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want an error that says %q", out, err, reason)
		}
	}
}
