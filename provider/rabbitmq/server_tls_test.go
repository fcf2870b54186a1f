package rabbitmq

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

var testNames = []string{"127.77.0.30", "broker.example", "localhost"}

// madeAt is generated material of another day.
func madeAt(t *testing.T, now time.Time) material {
	t.Helper()
	m, err := material{}.renewed(testNames, now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMaterialIsMadeOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := madeAt(t, now)
	leaf, err := m.leaf(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range testNames {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	again, err := m.renewed(testNames, now.Add(300*24*time.Hour))
	if err != nil || again.Key != m.Key || again.AuthorityKey != m.AuthorityKey {
		t.Errorf("was made again after 300 days (%v)", err)
	}
}

func TestMaterialIsRenewed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		old       func() material
		names     []string
		authority bool // stays
	}{
		"the last month":                {func() material { return madeAt(t, now.Add(-336*day)) }, testNames, true},
		"over":                          {func() material { return madeAt(t, now.Add(-400*day)) }, testNames, true},
		"the authority's last years":    {func() material { return madeAt(t, now.Add(-3300*day)) }, testNames, false},
		"another name":                  {func() material { return madeAt(t, now) }, append([]string{"new.example"}, testNames...), true},
		"a lost key":                    {func() material { m := madeAt(t, now); m.Key = ""; return m }, testNames, true},
		"a lost key of the authority":   {func() material { m := madeAt(t, now); m.AuthorityKey = ""; return m }, testNames, false},
		"somebody else's certificate":   {func() material { m := madeAt(t, now); m.Certificate = madeAt(t, now).Certificate; return m }, testNames, true},
		"a certificate that is garbage": {func() material { m := madeAt(t, now); m.Certificate = []byte("x"); return m }, testNames, true},
		"nothing":                       {func() material { return material{} }, testNames, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := tc.old()
			m, err := old.renewed(tc.names, now)
			if err != nil {
				t.Fatal(err)
			}
			if !m.fresh(tc.names, now) || m.Key == old.Key {
				t.Error("was not renewed")
			}
			if kept := string(m.Authority) == string(old.Authority); kept != tc.authority {
				t.Errorf("the authority stays: %v, want %v", kept, tc.authority)
			}
		})
	}
}

// givenFiles writes material as an operator has it.
func givenFiles(t *testing.T, m material) TLS {
	t.Helper()
	folder := t.TempDir()
	g := TLS{
		CertificateFile: filepath.Join(folder, "server.pem"), KeyFile: filepath.Join(folder, "key.pem"),
		AuthorityFile: filepath.Join(folder, "ca.pem"),
	}
	for path, content := range map[string][]byte{
		g.CertificateFile: m.Certificate, g.KeyFile: []byte(m.Key.Reveal()), g.AuthorityFile: m.Authority,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestCheckGivenFiles(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		damage func(g *TLS, m material) error
		field  Field // empty for none
	}{
		"good":               {func(*TLS, material) error { return nil }, ""},
		"no certificate":     {func(g *TLS, _ material) error { return os.Remove(g.CertificateFile) }, FieldCertificate},
		"no key":             {func(g *TLS, _ material) error { return os.Remove(g.KeyFile) }, FieldKey},
		"no authority":       {func(g *TLS, _ material) error { return os.Remove(g.AuthorityFile) }, FieldAuthority},
		"everybody may read": {func(g *TLS, _ material) error { return os.Chmod(g.KeyFile, 0o644) }, FieldKey},
		"a folder":           {func(g *TLS, _ material) error { g.CertificateFile = filepath.Dir(g.CertificateFile); return nil }, FieldCertificate},
		"key and certificate mixed": {func(g *TLS, _ material) error {
			g.CertificateFile, g.AuthorityFile = g.AuthorityFile, g.CertificateFile
			return nil
		}, FieldCertificate},
		"another's key": {func(g *TLS, _ material) error {
			return os.WriteFile(g.KeyFile, []byte(madeAt(t, now).Key.Reveal()), 0o600)
		}, FieldCertificate},
		"another's authority": {func(g *TLS, _ material) error {
			return os.WriteFile(g.AuthorityFile, madeAt(t, now).Authority, 0o600)
		}, FieldCertificate},
		"over": {func(g *TLS, _ material) error { *g = givenFiles(t, madeAt(t, now.Add(-400*24*time.Hour))); return nil }, FieldCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := madeAt(t, now)
			g := givenFiles(t, m)
			if err := tc.damage(&g, m); err != nil {
				t.Fatal(err)
			}
			until, err := g.Check(now)
			if tc.field == "" {
				if err != nil || until.Before(now.Add(300*24*time.Hour)) {
					t.Errorf("got %v, %v", until, err)
				}
				return
			}
			var field *FieldError
			if !errors.As(err, &field) || field.Field != tc.field || !errors.Is(err, host.ErrInvalid) {
				t.Errorf("got %v, want one about %s", err, tc.field)
			}
		})
	}
}

func TestWatermark(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"40%": "relative = 0.40", "1%": "relative = 0.01", "80%": "relative = 0.80", "2G": "absolute = 2147483648",
		"128M": "absolute = 134217728",
		"0%":   "", "81%": "", "127M": "", "0": "", "": "", "%": "", "x%": "", "1.5G": "", "-1%": "",
	} {
		w, err := ParseWatermark(text)
		if (err == nil) != (want != "") || err == nil && (w.Conf() != want || w.String() != text) {
			t.Errorf("%q: %q, %q, %v", text, w.Conf(), w, err)
		}
	}
	for text, ok := range map[string]bool{"64M": true, "256M": true, "63M": false, "0": false, "much": false} {
		if _, err := ParseReserve(text); (err == nil) != ok {
			t.Errorf("room of %q: %v", text, err)
		}
	}
	if err := CheckWatermark(Watermark{Bytes: 1 << 50}); err == nil {
		t.Error("a petabyte of memory is accepted")
	}
}

func TestKeysAreSecret(t *testing.T) {
	t.Parallel()
	n := exampleNode()
	n.Secure, n.Material = endpoints([]string{"127.77.0.30"}, 5671), madeAt(t, time.Now())
	for _, file := range exampleDefinition(t, n).Files {
		for _, key := range []config.Secret{n.Material.Key, n.Material.AuthorityKey} {
			if string(file.Content) == key.Reveal() && (!file.Secret || file.Perm != 0) {
				t.Errorf("%s: secret: %v, mode %04o", file.Name, file.Secret, file.Perm)
			}
		}
	}
}
