package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

func TestBrokerRoundTrip(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broker Broker
		uri    string
	}{
		"plain":     {Broker{Username: "u", Password: "hunter2", Host: "127.77.0.1", Port: 5672, VHost: "/"}, "amqp://u:hunter2@127.77.0.1"},
		"port":      {Broker{Username: "u", Password: "hunter2", Host: "host", Port: 20480, VHost: "/"}, "amqp://u:hunter2@host:20480"},
		"vhost":     {Broker{Username: "u", Password: "hunter2", Host: "host", Port: 5672, VHost: "a/b c"}, "amqp://u:hunter2@host/a%2Fb%20c"},
		"all":       {Broker{Username: "u", Password: "hunter2", Host: "host", Port: 1, VHost: "v"}, "amqp://u:hunter2@host:1/v"},
		"IPv6":      {Broker{Username: "u", Password: "hunter2", Host: "::1", Port: 5672, VHost: "/"}, "amqp://u:hunter2@[::1]"},
		"IPv6 port": {Broker{Username: "u", Password: "hunter2", Host: "::1", Port: 7, VHost: "/"}, "amqp://u:hunter2@[::1]:7"},
		"escapes":   {Broker{Username: "u@x", Password: "a:b/c@d%=#?", Host: "host", Port: 5672, VHost: "/"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uri := test.broker.URI()
			if test.uri != "" && uri.Reveal() != test.uri {
				t.Errorf("URI %s, want %s", uri.Reveal(), test.uri)
			}
			for _, key := range []string{KeyGatekeeper, KeyURI} {
				got, err := ReadBroker(write(t, string(test.broker.File(key))))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.broker, got, reveal); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestBrokerFile(t *testing.T) {
	t.Parallel()
	content := Broker{Username: "test_request", Password: "hunter2", Host: "127.77.0.1"}.File(KeyGatekeeper)
	if !bytes.HasSuffix(content, []byte("\nADT_AMQP = amqp://test_request:hunter2@127.77.0.1\n")) {
		t.Errorf("%s", content)
	}
}

func TestBrokerAddress(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]Broker{
		"host:5672": {Host: "host"}, "host:7": {Host: "host", Port: 7}, "[::1]:5672": {Host: "::1"},
	} {
		if got := b.Address(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestReadBrokerForms(t *testing.T) {
	t.Parallel()
	want := Broker{Username: "u", Password: "hunter2", Host: "host", Port: 5672, VHost: "/"}
	for _, content := range []string{
		"amqp://u:hunter2@host", "amqp://u:hunter2@host/\n", "uri=amqp://u:hunter2@host:5672", "\n# comment\n\nuri = amqp://u:hunter2@host/%2F\n",
		"ADT_AMQP\t=\tamqp://u:hunter2@host\r\n", "anything = amqp://u:hunter2@host\n",
	} {
		got, err := ReadBroker(write(t, content))
		if err != nil {
			t.Errorf("%q: %v", content, err)
		}
		if diff := cmp.Diff(want, got, reveal); diff != "" {
			t.Errorf("%q (-want +got):\n%s", content, diff)
		}
	}
}

func TestReadBrokerRefuses(t *testing.T) {
	t.Parallel()
	for content, reason := range map[string]string{
		"":                                "no line KEY = amqp://",
		"# uri = amqp://u:hunter2@host\n": "no line KEY = amqp://",
		"\nuri = http://u:hunter2@host\n": `:2: the URL's scheme is "http"`,
		"uri = amqp://u:hunter2@host\nca_file = ca.pem":       ":2: ca_file is for amqps://",
		"ca_file = ca.pem\nuri = amqp://u:hunter2@host":       ":1: ca_file is for amqps://",
		"uri = amqps://u:hunter2@host\nca_file =":             ":2: ca_file has no path",
		"ca_file = a\nuri = amqps://u:hunter2@h\nca_file = b": ":3: a second ca_file",
		"ca_file = ca.pem":                                   "no line KEY = amqp://",
		"uri = amqp://host":                                  "lacks USER:PASSWORD@",
		"uri = amqp://hunter2@host":                          "lacks USER:PASSWORD@",
		"uri = amqp://u:hunter2@":                            "lacks a host",
		"uri = amqp://u:hunter2@host:0":                      "is not a port",
		"uri = amqp://u:hunter2@host:70000":                  "is not a port",
		"uri = amqp://u:hunter2@host:x":                      "not a URL",
		"uri = amqp://u:hunter2%zz@host":                     "not a URL",
		"uri = amqp://u:hunter2@host/v?x=1":                  "more than",
		"uri = hunter2":                                      `scheme is ""`,
		"a = amqp://u:hunter2@h\nb = amqp://v:hunter2@h\n":   ":2: a second account",
		"a = amqp://u:hunter2@h\na = amqp://u:hunter3@g\n":   ":2: a second account",
		"a = amqp://u:hunter2@h\na = amqp://u:hunter2@h/v\n": ":2: a second account",
		"a = amqp://u:hunter2@h\na = amqps://u:hunter2@g\n":  ":2: a second account",
	} {
		path := write(t, content)
		_, err := ReadBroker(path)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: error %v, want one that names the file and says %q", content, err, reason)
			continue
		}
		secrettest.HiddenIn(t, password, "the error", err.Error())
	}
}

func TestStoreRoundTrip(t *testing.T) {
	t.Parallel()
	want := Store{
		AuthURL: "http://127.0.0.1:20484/auth/v1.0", Username: "autopkgtest:worker", Password: `hunter2 #;="'\`,
		StorageURL: "http://127.0.0.1:20484/v1/AUTH_autopkgtest",
	}
	got, err := ReadStore(write(t, string(want.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, reveal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadStoreRefuses(t *testing.T) {
	t.Parallel()
	good := string(Store{AuthURL: "http://h/auth", Username: "u", Password: "hunter2", StorageURL: "http://h/v1"}.Bytes())
	for name, content := range map[string]string{
		"empty":       "",
		"no password": strings.Replace(good, "password = hunter2\n", "", 1),
		"unknown key": good + "passwd = hunter2\n",
		"bad URL":     strings.Replace(good, "http://h/auth", "h/auth", 1),
	} {
		path := write(t, content)
		_, err := ReadStore(path)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want ErrInvalid that names the file", name, err)
			continue
		}
		secrettest.HiddenIn(t, password, name, err.Error())
	}
}

// TestSeveralAddresses: a broker of several nodes has a line each, but where a reader knows only one.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	broker := Broker{Username: "u", Password: "hunter2", Host: "10.0.0.1", Port: 5672, VHost: "v", TLS: true, CAFile: "/etc/ca.pem"}
	broker.Others = "10.0.0.2:5672 [fd00::3]:5673"
	got, key, err := ReadBrokerKey(write(t, string(broker.File(KeyURI))))
	if err != nil || got != broker || key != KeyURI {
		t.Errorf("read back as %+v with the key %q, %v", got, key, err)
	}
	var addresses []string
	for _, at := range got.Each() {
		addresses = append(addresses, at.Address())
		if at.Username != "u" || at.Password != "hunter2" || at.VHost != "v" || !at.TLS || at.CAFile != "/etc/ca.pem" || at.Others != "" {
			t.Errorf("at %s: %+v", at.Address(), at)
		}
	}
	if text := strings.Join(addresses, " "); text != "10.0.0.1:5672 10.0.0.2:5672 [fd00::3]:5673" {
		t.Errorf("addresses %s", text)
	}
	for _, key := range []string{KeyGatekeeper, ShellKey("X")} {
		if got, err := ReadBroker(write(t, string(broker.File(key)))); err != nil || got.Address() != "10.0.0.1:5672" || got.Others != "" {
			t.Errorf("for %s: %+v, %v; want the first address alone", key, got, err)
		}
	}
}

// TestExposed: a password that others can read is no secret, and the message says how to mend it.
func TestExposed(t *testing.T) {
	t.Parallel()
	broker := string(Broker{Username: "u", Password: "hunter2", Host: "host", Port: 5672, VHost: "/"}.File(KeyURI))
	storage := string(Store{AuthURL: "http://h/auth", Username: "u", Password: "hunter2", StorageURL: "http://h/v1"}.Bytes())
	for mode, exposed := range map[os.FileMode]bool{
		0o600: false, 0o400: false, 0o700: false, 0o640: true, 0o604: true, 0o644: true, 0o620: true, 0o601: true,
	} {
		for name, read := range map[string]func(string) error{
			broker:  func(path string) error { _, err := ReadBroker(path); return err },
			storage: func(path string) error { _, err := ReadStore(path); return err },
		} {
			path := write(t, name)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			err := read(path)
			if errors.Is(err, ErrExposed) != exposed || (err != nil && !exposed) {
				t.Errorf("mode %o: error %v", mode, err)
			}
			if exposed && !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("mode %o: error %v does not tell the way out", mode, err)
			}
		}
	}
}

func TestCredentialsThatAreNoFile(t *testing.T) {
	t.Parallel()
	if _, err := ReadBroker(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
	if _, err := ReadStore(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist", err)
	}
	if _, err := ReadBroker(write(t, strings.Repeat("#\n", maxCredentials))); !errors.Is(err, ErrInvalid) {
		t.Errorf("a large file: error %v, want ErrInvalid", err)
	}
}

// FuzzParse: whatever a file holds, reading it ends, and an accepted file is read the same after it is written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimalWorker))
	f.Add([]byte("[amqp]\ncredentials_file = \"\"\"c\nd\"\"\"\n"))
	f.Add([]byte("\ufeff[amqp]\r\ncredentials_file=`c`\\\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parse("file", content, workerSchema, keysMayBeBare)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		// The scan for lines and package ini must have seen the same keys.
		for _, section := range d.file.Sections() {
			for _, key := range section.Keys() {
				if _, ok := d.lines[section.Name()+"/"+key.Name()]; !ok {
					t.Fatalf("[%s] %s was not seen by the scan", section.Name(), key.Name())
				}
			}
		}
		for name := range d.lines {
			section, key, found := strings.Cut(name, "/")
			if !found {
				continue
			}
			s, err := d.file.GetSection(section)
			if err != nil || !s.HasKey(key) {
				t.Fatalf("[%s] %s was seen by the scan only", section, key)
			}
		}
	})
}
