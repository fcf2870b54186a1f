package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConfigurationOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := func(name string) string { return "[amqp]\nuri = amqp://" + name + ":hunter2@127.77.0.1\n" }
	user := filepath.Join(f.env["HOME"], ".config", "autopkgtest-cloud.conf")
	flag := filepath.Join(t.TempDir(), "flag.conf")
	f.write(t, f.app.sitePath, account("site")+"unknown_here = fine\n")
	f.write(t, user, account("user"))
	f.write(t, f.config, account("variable"))
	f.write(t, flag, account("flag"))
	used := func(want string, more ...string) {
		t.Helper()
		line := append([]string{"autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "green"}, more...)
		f.run(t, 0, line...)
		if got := f.broker.account.Username; got != want {
			t.Errorf("the file of %q was used, want %q", got, want)
		}
		f.app.configPath = ""
	}
	used("flag", "--config", flag)
	used("variable")
	delete(f.env, configVariable)
	used("user")
	if err := os.Remove(user); err != nil {
		t.Fatal(err)
	}
	used("site")
	f.env["XDG_CONFIG_HOME"] = t.TempDir()
	f.write(t, filepath.Join(f.env["XDG_CONFIG_HOME"], "autopkgtest-cloud.conf"), account("xdg"))
	used("xdg")
	delete(f.env, "XDG_CONFIG_HOME")

	if err := os.Remove(f.app.sitePath); err != nil {
		t.Fatal(err)
	}
	f.run(t, exitConfig, "autopkgtest-cloud", "queues")
	contains(t, "message", f.err.String(), user, f.app.sitePath, "--config", configVariable)
	f.run(t, exitConfig, "run-autopkgtest", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "green")
}

func TestConfigurationTrouble(t *testing.T) {
	t.Parallel()
	request := []string{"request", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "green"}
	exposed := filepath.Join(t.TempDir(), "exposed")
	if err := os.WriteFile(exposed, []byte("ADT_AMQP = amqp://u:hunter2@h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(exposed, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content string
		command []string
		reason  string
	}{
		"no account":          {"[web]\nurl = http://h\n", request, "has no account for requests"},
		"no site":             {"[amqp]\nuri = amqp://u:hunter2@h\n", []string{"queues"}, "does not name the results site"},
		"unknown key":         {"[web]\nurll = http://h\n", []string{"running"}, `:2: unknown key "urll"`},
		"bad account":         {"[amqp]\nuri = hunter2\n", request, "the URL's scheme"},
		"no credentials file": {"[amqp]\ncredentials_file = /no/such/file\n", request, "/no/such/file"},
		"exposed credentials": {"[amqp]\ncredentials_file = " + exposed + "\n", request, "chmod 600 " + exposed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.write(t, f.config, test.content)
			f.run(t, exitConfig, append([]string{"autopkgtest-cloud"}, test.command...)...)
			contains(t, "message", f.err.String(), f.config, test.reason)
		})
	}
	t.Run("named file is missing", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		f.run(t, exitConfig, "autopkgtest-cloud", "queues", "--config", "/no/such.conf")
		contains(t, "message", f.err.String(), "/no/such.conf")
	})
}

func TestRoot(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.run(t, 0, "autopkgtest-cloud", "--help")
	contains(t, "help", f.out.String(), "request", "queues", "running", "results", "Exit codes:", "AUTOPKGTEST_CLOUD_CONFIG")
	f.run(t, 0, "autopkgtest-cloud", "request", "--help")
	contains(t, "help", f.out.String(), "--trigger SOURCE/VERSION", "--wait", "(default 24h0m0s)", "99")
	f.run(t, 0, "run-autopkgtest", "--help")
	contains(t, "help", f.out.String(), "run-autopkgtest -s SERIES", "--swiftuser USER")
	f.run(t, 0, "autopkgtest-cloud", "--version")
	f.run(t, exitUsage, "autopkgtest-cloud", "reqest")
	contains(t, "message", f.err.String(), `there is no command "reqest"`)
	f.run(t, exitUsage, "autopkgtest-cloud", "--jason")
	f.run(t, exitUsage, "autopkgtest-cloud", "queues", "extra")
}

func TestCredentialsFlag(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.write(t, f.config, "[amqp]\nuri = amqp://configured:hunter2@127.77.0.1\n")
	file := filepath.Join(t.TempDir(), "britney")
	f.write(t, file, "ADT_AMQP = amqp://britney:hunter2@127.77.0.1\n")
	request := []string{"autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "green"}
	f.run(t, 0, append(request, "--credentials", file)...)
	if got := f.broker.account.Username; got != "britney" {
		t.Errorf("requested as %q, want the account of the file", got)
	}
	f.run(t, exitConfig, append(request, "--credentials", file+".missing")...)
}
