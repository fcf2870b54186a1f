package testbedtest

import (
	"os"
	"path/filepath"
	"testing"
)

// SourceTree writes a source package called tiny, with a control file and further files of its tests.
func SourceTree(t *testing.T, control string, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tiny")
	all := map[string]string{
		"debian/control": "Source: tiny\nSection: misc\nPriority: optional\nMaintainer: Joe <joe@localhost>\nStandards-Version: 4.6.2\n\n" +
			"Package: tiny\nArchitecture: all\nDescription: tiny\n",
		"debian/changelog": "tiny (1.0) unstable; urgency=medium\n\n  * x.\n\n" +
			" -- Joe <joe@localhost>  Sat, 01 Jan 2022 00:00:00 +0000\n",
		"debian/source/format": "3.0 (native)\n",
	}
	if control != "" {
		all["debian/tests/control"] = control
	}
	for name, text := range files {
		all["debian/tests/"+name] = text
	}
	for name, text := range all {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
