package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// deployed is what a deployment says beside a worker.conf of 2015.
func deployed(change ...Derived) []Derived {
	all := []Derived{
		{Section: "amqp", Key: "credentials_file", Value: "/srv/broker"},
		{Section: "amqp", Key: "host", Value: "10.0.0.7", Elsewhere: true},
		{Section: "amqp", Key: "user", Value: "worker", Elsewhere: true},
		{Section: "amqp", Key: "password", Value: "Secret1", Secret: true, Elsewhere: true},
		{Section: "autopkgtest", Key: "releases", Value: "noble questing", Same: SameWords},
		{Section: "autopkgtest", Key: "timeout", Value: "8h", Same: SameDuration},
		{Section: "autopkgtest", Key: "state_directory", Value: "/srv/state"},
		{Section: "unshare", Key: "images", Value: "/srv/images"},
		{Section: "nova", Key: "novaopts", Option: "keyname", Value: "testbed"},
	}
	return append(all, change...)
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/worker-2015.conf")
	if err != nil {
		t.Fatal(err)
	}
	of2015 := strings.Replace(string(content), "precise trusty vivid wily", "questing noble", 1)
	w, err := ParseBase("worker.conf", []byte(of2015), deployed())
	if err != nil {
		t.Fatal(err)
	}
	if w.BrokerCredentials != "/srv/broker" || w.BrokerAccount != (Broker{}) || w.StateDirectory != "/srv/state" ||
		w.Timeout != 8*time.Hour || !SameWords(strings.Join(w.Releases, " "), "noble questing") {
		t.Errorf("what the deployment says: %+v", w)
	}
	if w.Backend != "nova" || w.Nova.Flavor != "m1.small" || len(w.BigPackages) == 0 || w.SetupCommand == "" {
		t.Errorf("what the file says: %+v", w)
	}
	again, err := parseWorker("again.conf", w.Bytes())
	if err != nil || again.Nova.ImagePattern != w.Nova.ImagePattern || again.BrokerCredentials != w.BrokerCredentials {
		t.Errorf("written and read again: %+v, %v", again, err)
	}
}

func TestParseBaseContradicts(t *testing.T) {
	t.Parallel()
	const rest = "[autopkgtest]\nreleases = noble questing\n"
	for name, c := range map[string]struct {
		file string
		says string // empty: it is taken
	}{
		"nothing":             {rest, ""},
		"empty":               {"[amqp]\nhost =\nuser =\npassword\n" + rest, ""},
		"equal":               {"[amqp]\nhost = 10.0.0.7\nuser = worker\npassword = Secret1\n" + rest, ""},
		"another host":        {"[amqp]\nhost = rabbit.internal\n" + rest, `worker.conf:2: [amqp] host: is "rabbit.internal", and the deployment has "10.0.0.7"`},
		"another password":    {"[amqp]\npassword = hunter2\n" + rest, "worker.conf:2: [amqp] password: is another one than the deployment's"},
		"other words":         {"[autopkgtest]\nreleases = noble\n", `worker.conf:2: [autopkgtest] releases: is "noble"`},
		"another spelling":    {rest + "timeout = 480m\n", ""},
		"another duration":    {rest + "timeout = 4h\n", "worker.conf:3: [autopkgtest] timeout"},
		"no duration":         {rest + "timeout = long\n", "worker.conf:3: [autopkgtest] timeout"},
		"what is not derived": {rest + "slots = many\n", "worker.conf:3: [autopkgtest] slots"},
		"unknown":             {rest + "sluts = 3\n", "worker.conf:3:"},
		"the same key pair":   {rest + "[nova]\nnovaopts = -k testbed --net-id=n\n", ""},
		"another key pair":    {rest + "[nova]\nnovaopts = --net-id=n --keyname=mine\n", `worker.conf:4: [nova] novaopts: --keyname is "mine", and the deployment has "testbed"`},
		"an unknown option":   {rest + "[nova]\nnovaopts = --net=n\n", "worker.conf:4: [nova] novaopts: unknown flag"},
		"an open quote":       {rest + "[nova]\nnovaopts = -e 'a=b\n", "worker.conf:4: [nova] novaopts: a quote is open"},
	} {
		_, err := ParseBase("worker.conf", []byte(c.file), deployed())
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v does not say «%s»", name, err, c.says)
		case err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "Secret1")):
			t.Errorf("%s: %v shows a password", name, err)
		}
	}
	none := deployed(Derived{Section: "health", Key: "listen"})
	if _, err := ParseBase("worker.conf", []byte(rest+"[health]\nlisten = 127.0.0.1:1\n"), none); err == nil ||
		!strings.Contains(err.Error(), "the deployment has none") {
		t.Errorf("what the deployment has not: %v", err)
	}
}

func TestParseBaseNamesTheKeyPair(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"": "--keyname=testbed",
		"[nova]\nnovaopts = --net-id=n -e 'a=b c'\n":    "--net-id=n -e 'a=b c' --keyname=testbed",
		"[nova]\nnovaopts = --net-id=n -k testbed -a\n": "--net-id=n -k testbed -a",
	} {
		w, err := ParseBase("worker.conf", []byte("[autopkgtest]\nreleases = noble questing\n"+file), deployed())
		if got := JoinQuoted(w.Nova.Options); err != nil || got != want {
			t.Errorf("%q has the options %s, %v; want %s", file, got, err, want)
		}
	}
}

// TestParseBaseLater: what nobody knows yet is neither compared nor missed, and everything else is.
func TestParseBaseLater(t *testing.T) {
	t.Parallel()
	var later []Derived
	for _, one := range deployed() {
		one.Unknown, one.Value = true, ""
		later = append(later, one)
	}
	for file, says := range map[string]string{
		"": "",
		"[amqp]\nhost = h\npassword = p\n[autopkgtest]\nreleases = noble\n": "",
		"[nova]\nnovaopts = --keyname=mine\n":                               "",
		"[nova]\nnovaopts = --key=mine\n":                                   "worker.conf:2: [nova] novaopts",
		"[autopkgtest]\nslots = many\n":                                     "worker.conf:2: [autopkgtest] slots",
	} {
		_, err := ParseBase("worker.conf", []byte(file), later)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v; want «%s»", file, err, says)
		}
	}
}

func TestParseGiven(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/worker-2015.conf")
	if err != nil {
		t.Fatal(err)
	}
	w, err := ParseGiven("worker.conf", content)
	if err != nil || !SameWords(strings.Join(w.Releases, " "), "precise trusty vivid wily") || w.Nova.Flavor != "m1.small" {
		t.Errorf("the file of 2015: %+v, %v", w, err)
	}
	w, err = ParseGiven("worker.conf", []byte("[autopkgtest]\nslots = 3\n"))
	if err != nil || len(w.Releases)+len(w.Architectures) > 0 || w.Slots != 3 {
		t.Errorf("a short one: %+v, %v", w, err)
	}
	if _, err = ParseGiven("worker.conf", []byte("[autopkgtest]\nreleases = a-b\n")); err == nil || !strings.Contains(err.Error(), "worker.conf:2:") {
		t.Errorf("a wrong one: %v", err)
	}
}
