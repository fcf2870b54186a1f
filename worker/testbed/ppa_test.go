package testbed

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// The keys were made by gpg: one of RSA and one of an elliptic curve, with its subkey.
const (
	rsaFingerprint   = "929587ECB369108A7A79FE30B034987A26DE41DB"
	curveFingerprint = "BE1B7A9172734B2E9D5B98AAE28BF5B310C51A56"
)

func readKey(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// keyFolder makes a folder of signing keys.
func keyFolder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestSources(t *testing.T) {
	t.Parallel()
	rsa, curve := readKey(t, "key-rsa.asc"), readKey(t, "key-curve.asc")
	both := append(bytes.Clone(rsa), curve...)
	conf := config.DefaultPPA
	conf.Keys = keyFolder(t, map[string][]byte{
		"joe/foo.asc": rsa, "team/bar.asc": both, curveFingerprint + ".asc": curve, "joe/secret.asc": rsa,
	})
	const public, private = "https://ppa.launchpadcontent.net/", "https://private-ppa.launchpadcontent.net/"
	line := func(number int, url string) string {
		rest := fmt.Sprintf(" [signed-by=/etc/apt/keyrings/autopkgtest-cloud-%d.gpg] %s/ubuntu noble main", number, url)
		return " deb" + rest + "\n deb-src" + rest
	}
	for name, test := range map[string]struct {
		ppas  []string
		newer bool
		lines []string
		keys  []string // fingerprints, in order
		auth  string
	}{
		"none": {},
		"a newer autopkgtest": {
			[]string{"joe/foo", "a/b:0123ABCD"}, true, []string{"ppa:joe/foo", "ppa:a/b:0123ABCD"}, nil, "",
		},
		"an older one": {
			[]string{"joe/foo"}, false, []string{line(1, public+"joe/foo")}, []string{rsaFingerprint}, "",
		},
		"with a fingerprint": {
			[]string{"any/one:" + strings.ToLower(curveFingerprint)}, false, []string{line(1, public+"any/one")}, []string{curveFingerprint}, "",
		},
		"one key of two": {
			[]string{"team/bar:" + rsaFingerprint}, false, []string{line(1, public+"team/bar")}, []string{rsaFingerprint}, "",
		},
		"two": {
			[]string{"joe/foo", "team/bar"}, false, []string{line(1, public+"joe/foo"), line(2, public+"team/bar")},
			[]string{rsaFingerprint, rsaFingerprint + " " + curveFingerprint}, "",
		},
		"twice": {
			[]string{"joe/foo", "team/bar", "joe/foo:" + rsaFingerprint}, false,
			[]string{line(1, public+"joe/foo"), line(2, public+"team/bar")},
			[]string{rsaFingerprint, rsaFingerprint + " " + curveFingerprint}, "",
		},
		"private, and a public one, with a newer autopkgtest": {
			[]string{"robot:S3KRIT@joe/secret", "joe/foo"}, true, []string{line(1, private+"joe/secret"), "ppa:joe/foo"},
			[]string{rsaFingerprint}, "machine private-ppa.launchpadcontent.net/joe/secret/ubuntu/ login robot password S3KRIT\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sources, err := sourcesOf(test.ppas, "noble", conf, Features{PPA: test.newer})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.lines, sources.Lines); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			var keys []string
			auth := ""
			for _, c := range sources.Copies {
				if c.Secret {
					auth = string(c.Content)
					continue
				}
				keys = append(keys, strings.Join(fingerprintsOf(t, c.Content), " "))
			}
			if diff := cmp.Diff(test.keys, keys); diff != "" || auth != test.auth {
				t.Errorf("auth %q, keys (-want +got):\n%s", auth, diff)
			}
		})
	}
}

// fingerprintsOf reads a keyring in its binary form.
func fingerprintsOf(t *testing.T, keyring []byte) []string {
	t.Helper()
	var all []string
	for len(keyring) > 0 {
		tag, body, length, err := packet(keyring)
		if err != nil {
			t.Fatal(err)
		}
		if tag == tagPublicKey {
			fingerprint, err := fingerprintOf(body)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fingerprint)
		}
		keyring = keyring[length:]
	}
	return all
}

func TestSourcesOverPlainHTTP(t *testing.T) {
	t.Parallel()
	conf := config.PPA{PrivateURL: "http://ppa.example.com/$OWNER-$NAME", Keys: keyFolder(t, map[string][]byte{"a/b.asc": readKey(t, "key-rsa.asc")})}
	sources, err := sourcesOf([]string{"u:S3KRIT@a/b"}, "noble", conf, Features{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(sources.Copies[1].Content); got != "machine http://ppa.example.com/a-b/ login u password S3KRIT\n" {
		t.Errorf("%q", got)
	}
}

func TestSourcesUnsupported(t *testing.T) {
	t.Parallel()
	rsa := readKey(t, "key-rsa.asc")
	folder := keyFolder(t, map[string][]byte{
		"joe/foo.asc": rsa, "a/empty.asc": nil, "a/text.asc": []byte("hello"), "a/secret.gpg": {0x94, 1, 4},
		curveFingerprint + ".gpg": rsa,
	})
	for name, test := range map[string]struct{ ppa, keys, reason string }{
		"no folder":              {"joe/foo", "", "no folder of keys"},
		"no key":                 {"joe/bar", folder, "has no joe/bar.asc;"},
		"no key, fingerprint":    {"joe/bar:" + rsaFingerprint, folder, "has no " + rsaFingerprint + ".asc and no joe/bar.asc;"},
		"private":                {"robot:S3KRIT@joe/bar", folder, "has no joe/bar.asc;"},
		"short fingerprint":      {"joe/foo:0123ABCD", folder, "has 8 digits, want all 40"},
		"key of another":         {"joe/foo:" + curveFingerprint, folder, "its key is " + rsaFingerprint + ", not " + curveFingerprint},
		"two keys":               {"joe/foo:" + rsaFingerprint + "\njoe/foo:" + curveFingerprint, folder, "named twice, with different keys"},
		"no key in the file":     {"a/text", folder, "it is cut off, or no key"},
		"nothing in the file":    {"a/empty", folder, "it is empty"},
		"secret key in the file": {"a/secret", folder, "it holds a secret key"},
		"a folder":               {"a/dir", keyFolder(t, map[string][]byte{"a/dir.asc/x": nil}), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := config.DefaultPPA
			conf.Keys = test.keys
			_, err := sourcesOf(strings.Split(test.ppa, "\n"), "noble", conf, Features{})
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("error = %v, want ErrUnsupported that says %q", err, test.reason)
			}
			if strings.Contains(err.Error(), "S3KRIT") || (test.keys != "" && strings.Contains(err.Error(), test.keys)) {
				t.Errorf("the error shows a password or a place: %v", err)
			}
		})
	}
}

func FuzzSelectKeys(f *testing.F) {
	for _, name := range []string{"key-rsa.asc", "key-curve.asc"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		binary, err := withoutArmor(content)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, rsaFingerprint)
		f.Add(binary, "")
	}
	f.Add([]byte{0x99, 0xff, 0xff}, "")
	f.Add([]byte{0xc6, 0xff, 0xff, 0xff, 0xff, 0xff}, "")
	f.Fuzz(func(t *testing.T, content []byte, fingerprint string) {
		keyring, err := selectKeys(content, fingerprint)
		if err != nil {
			return
		}
		for _, print := range fingerprintsOf(t, keyring) {
			if fingerprint != "" && !strings.EqualFold(print, fingerprint) {
				t.Fatalf("key %s was not asked for", print)
			}
		}
		armored := []byte(armorBegin + "\n\n" + base64.StdEncoding.EncodeToString(keyring) + "\n" + armorEnd)
		again, err := selectKeys(armored, fingerprint)
		if err != nil || !bytes.Equal(again, keyring) {
			t.Fatalf("in armour: %v", err)
		}
	})
}
