package scan

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestText(t *testing.T) {
	t.Parallel()
	for range 1000 {
		secret := config.NewSecret().Reveal()
		for _, around := range []string{"S", "password=S", "amqp://u:S@h", `"line\nS\n"`, "p%C3%BCS", "xSx", strings.Repeat("A", 30) + " S"} {
			text := strings.Replace(around, "S", secret, 1)
			if _, found := Text([]byte(text)); !found {
				t.Fatalf("not found in %q", around)
			}
		}
	}
	if _, found := Text([]byte("-----BEGIN EC PRIVATE KEY-----\nMHc")); !found {
		t.Error("a private key is not found")
	}
	digits := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0, 16, 131, 16, 81, 135, 32, 146, 139}, 50))
	for _, harmless := range []string{
		"", "hunter2hunter2", strings.Repeat("=", 100), strings.Repeat("X", 100), strings.Repeat("ABC", 30), strings.ToLower(config.NewSecret().Reveal()),
		"AUTOPKGTEST_TEST_MANAGEMENT_AND_OTHERS", config.NewSecret().Reveal()[:25], strings.ToLower(digits),
	} {
		if at, found := Text([]byte(harmless)); found {
			t.Errorf("%q has one at %d", harmless, at)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	secret := []byte(config.NewSecret().Reveal())
	long := append(bytes.Repeat([]byte("a line of a log\n"), 200_000), secret...)
	plan := func(content []byte) []byte {
		var out bytes.Buffer
		packed := zip.NewWriter(&out)
		w, err := packed.Create("tfstate")
		if err == nil {
			_, err = w.Write(content)
		}
		if err == nil {
			err = packed.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(long); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content []byte
		want    string // end of the path
	}{
		"nothing":           {[]byte("{}"), ""},
		"empty":             {nil, ""},
		"short":             {[]byte("PK"), ""},
		"a state":           {append([]byte(`{"password": "`), secret...), "file"},
		"a log":             {long, "file"},
		"over the boundary": {append(bytes.Repeat([]byte{'.'}, 1<<20-10), secret...), "file"},
		"a plan":            {plan(secret), "file:tfstate"},
		"a program":         {append([]byte("\x7fELF"), secret...), ""},
		"a plan without":    {plan([]byte("{}")), ""},
		"a compressed log":  {compressed.Bytes(), "file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "below")
			path := filepath.Join(folder, "file")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			found, files, err := Tree(filepath.Dir(folder))
			if err != nil || files != 1 {
				t.Fatalf("%d files, %v", files, err)
			}
			switch {
			case tc.want == "" && len(found) != 0:
				t.Errorf("found %v", found)
			case tc.want != "" && (len(found) != 1 || !strings.HasSuffix(found[0].Path, tc.want)):
				t.Errorf("found %v, want one in %s", found, tc.want)
			}
			for _, f := range found {
				if strings.Contains(f.String(), string(secret)) {
					t.Error("the finding shows the secret")
				}
			}
		})
	}
	if _, _, err := Tree(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("what is not there has no secrets")
	}
}
