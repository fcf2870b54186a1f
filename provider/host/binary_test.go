package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	place := t.TempDir()
	write(t, filepath.Join(place, "linux_riscv64", "tool"), "hello")
	b, err := Binaries{Place: place}.Locate("tool", "riscv64")
	if err != nil || b.SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" || b.Name != "tool" {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = Binaries{Place: place}.Locate("tool", "")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error %v", err)
	}
	if _, err := (Binaries{}).Locate("no-such-tool", ""); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}

func TestInstallBinary(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	source := filepath.Join(place(t), "tool")
	write(t, source, "one")
	b, err := LocateFile("tool", source)
	if err != nil {
		t.Fatal(err)
	}
	path, err := d.InstallBinary(t.Context(), b)
	if err != nil || path != d.BinaryPath(b) {
		t.Fatalf("%s, %v", path, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o755 || ownerOf(info) != d.Account().UID {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.InstallBinary(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one" {
		t.Errorf("after a repair: %q, %v", data, err)
	}

	write(t, source, "changed meanwhile")
	other := b
	other.SHA256 = strings.Repeat("0", 64)
	if _, err := d.InstallBinary(t.Context(), other); !errors.Is(err, ErrInvalid) || d.Exists("bin/"+other.file()) {
		t.Errorf("a program with another hash was installed: %v", err)
	}
	names, err := os.ReadDir(d.Path("bin"))
	if err != nil || len(names) != 1 {
		t.Errorf("bin holds %v, %v", names, err)
	}
}

func TestPruneBinaries(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	used := Binary{Name: "tool", SHA256: strings.Repeat("a", 64)}
	long := time.Now().Add(-2 * youngBinary)
	for _, name := range []string{used.file(), "tool-old", "tool-young"} {
		write(t, d.Path("bin", name), "x")
		if name != "tool-young" {
			if err := os.Chtimes(d.Path("bin", name), long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, d.Path("services/toy/service.json"), `{"binary":{"name":"tool","sha256":"`+used.SHA256+`"}}`)
	root, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := d.pruneBinaries(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	names, err := list(root, "bin")
	if err != nil || strings.Join(names, " ") != used.file()+" tool-young" {
		t.Errorf("bin holds %v, %v", names, err)
	}
}
