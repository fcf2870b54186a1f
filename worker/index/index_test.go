package index

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenKeepsAndLocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd ?name#%41.db") // a path is no URL
	s, loc := newStore(t, "noble"), at("noble", "amd64", "green", 1)
	putResult(t, s, loc, passed(loc))
	x, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Ingest(t.Context(), s, loc); err != nil {
		t.Fatal(err)
	}
	if other, err := Open(t.Context(), path, quiet); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v, %v", other, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	again := openIndex(t, path)
	if _, err := again.Run(t.Context(), loc); err != nil {
		t.Error(err)
	}
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenSetsAside(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) {
			text := "this is a text file, and long enough to be read as more than a header"
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"damaged in the middle": func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(content); i++ {
				content[i] = 0xa5
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"another format": func(t *testing.T, path string) {
			x, err := open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.write.Exec("PRAGMA user_version = 99"); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(x.read.Close(), x.write.Close()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "autopkgtest.db")
			s, loc := newStore(t, "noble"), at("noble", "amd64", "green", 1)
			putResult(t, s, loc, passed(loc))
			x, err := Open(t.Context(), path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Ingest(t.Context(), s, loc); err != nil {
				t.Fatal(err)
			}
			want := dump(t, x)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			x = openIndex(t, path)
			if lines := dump(t, x); len(lines) != 0 {
				t.Errorf("the new index is not empty: %q", lines)
			}
			if _, err := os.Stat(path + ".unusable"); err != nil {
				t.Error(err)
			}
			pass(t, NewLister(x, s, []string{"noble"}, quiet))
			if diff := cmp.Diff(want, dump(t, x)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenWithoutRights(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "autopkgtest.db")
	if x, err := Open(t.Context(), path, quiet); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", x, err)
	}
}
