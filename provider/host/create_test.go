package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func options(t *testing.T, path string) Options {
	return Options{Path: path, Stack: "test", Account: testAccount(t)}
}

// listing is all there is below a folder, with modes, sizes and times: it shows whether anything was touched.
func listing(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().Format(time.RFC3339Nano) + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCreateAndAdopt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(place(t), "deep", "stack")
	first, err := Create(t.Context(), options(t, path))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || ownerOf(info) != first.Account().UID {
		t.Errorf("the folder's owner: %v, %v", info, err)
	}
	second, err := Create(t.Context(), options(t, path))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path, "test")
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*Directory{"adopted": second, "opened": opened} {
		if difference := cmp.Diff(first, d, cmp.AllowUnexported(Directory{})); difference != "" {
			t.Errorf("%s is another one:\n%s", name, difference)
		}
	}
}

func TestCreateAtTheSameTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(place(t), "stack")
	made := make([]*Directory, 4)
	var group sync.WaitGroup
	for i := range made {
		group.Go(func() {
			var err error
			if made[i], err = Create(t.Context(), options(t, path)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, d := range made {
		if difference := cmp.Diff(made[0], d, cmp.AllowUnexported(Directory{})); difference != "" {
			t.Error(difference)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		change  func(o *Options)
		kind    error
		says    []string
	}{
		"another stack's folder": {
			prepare: func(t *testing.T, path string) {
				o := options(t, path)
				o.Stack = "first"
				if _, err := Create(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			},
			kind: ErrForeign, says: []string{`"test"`, `"first"`, "a folder of its own"},
		},
		"a folder with other things": {
			prepare: func(t *testing.T, path string) { write(t, filepath.Join(path, "thesis.tex"), "x") },
			kind:    ErrForeign, says: []string{"holds other things", "Name another folder"},
		},
		"somebody else's stack.json": {
			prepare: func(t *testing.T, path string) { write(t, filepath.Join(path, markName), `{"project":"docker"}`) },
			kind:    ErrForeign, says: []string{`"docker"`},
		},
		"a mark of the future": {
			prepare: func(t *testing.T, path string) {
				write(t, filepath.Join(path, markName), `{"project":"autopkgtest-cloud","format":99}`)
			},
			kind: ErrForeign, says: []string{"format 99"},
		},
		"a file": {
			prepare: func(t *testing.T, path string) { write(t, path, "") },
			kind:    ErrForeign, says: []string{"not a folder"},
		},
		"relative":       {change: func(o *Options) { o.Path = "stack" }, kind: ErrInvalid, says: []string{"absolute"}},
		"with a blank":   {change: func(o *Options) { o.Path += "/my stack" }, kind: ErrInvalid, says: []string{"character"}},
		"with a newline": {change: func(o *Options) { o.Path += "/my\nstack" }, kind: ErrInvalid, says: []string{"character"}},
		"too long": {
			change: func(o *Options) { o.Path += strings.Repeat("/long", 50) },
			kind:   ErrInvalid, says: []string{"200 are possible"},
		},
		"root of the file system": {change: func(o *Options) { o.Path = "/" }, kind: ErrInvalid, says: []string{"root of"}},
		"name of the stack":       {change: func(o *Options) { o.Stack = "A/b" }, kind: ErrInvalid, says: []string{"A/b"}},
		"root as account":         {change: func(o *Options) { o.Account = Account{Name: "root"} }, kind: ErrAccount},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(place(t), "stack")
			if test.prepare != nil {
				test.prepare(t, path)
			}
			o := options(t, path)
			if test.change != nil {
				test.change(&o)
			}
			before := listing(t, filepath.Dir(path))
			_, err := Create(t.Context(), o)
			if !errors.Is(err, test.kind) {
				t.Fatalf("error %v, want %v", err, test.kind)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("error %q does not say %q", err, says)
				}
			}
			if difference := cmp.Diff(before, listing(t, filepath.Dir(path))); difference != "" {
				t.Errorf("something was changed:\n%s", difference)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if account := testAccount(t); os.Geteuid() == 0 {
		for _, path := range []string{filepath.Dir(path), path} {
			if err := os.Chown(path, account.UID, account.GID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// For root this is the usual mistake: a folder where the deploying user can do anything and the account cannot enter.
func TestCreateNamesTheFolderInTheWay(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]string{"to be made": "gate/stack", "deeper": "gate/a/b/stack"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := place(t)
			gate := filepath.Join(base, "gate")
			if err := os.Mkdir(gate, 0o700); err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() != 0 {
				if err := os.Chmod(gate, 0); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Create(t.Context(), options(t, filepath.Join(base, missing)))
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), gate+" stands in the way") ||
				!strings.Contains(err.Error(), "Use a folder below") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestCreateInAFolderThatIsThere(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, path string){
		"empty":                         func(*testing.T, string) {},
		"left by an interrupted Create": func(t *testing.T, path string) { write(t, path+"/.stack.json.new-ABCD", "{") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(place(t), "stack")
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			prepare(t, path)
			d, err := Create(t.Context(), options(t, path))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || ownerOf(info) != d.Account().UID {
				t.Errorf("the folder was not given to the account: %v", err)
			}
		})
	}
}

func TestCreateNeedsRoom(t *testing.T) {
	t.Parallel()
	path := filepath.Join(place(t), "stack")
	nearlyFull := func(string) (uint64, error) { return 500 << 20, nil }
	_, err := create(t.Context(), options(t, path), nearlyFull)
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "500 MiB left, and 1024") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused folder is left behind: %v", err)
	}
	if _, err := Create(t.Context(), options(t, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := create(t.Context(), options(t, path), nearlyFull); err != nil {
		t.Errorf("a stack that is there cannot be repaired: %v", err)
	}
}

// TestCreateRefusedInAFolderThatIsThere: the folder is somebody else's idea, and stays as it was.
func TestCreateRefusedInAFolderThatIsThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(place(t), "stack")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	full := func(string) (uint64, error) { return 0, nil }
	if _, err := create(t.Context(), options(t, path), full); !errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestCreateThroughALink(t *testing.T) {
	t.Parallel()
	base := place(t)
	if err := os.Mkdir(filepath.Join(base, "real"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(base, "real"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	d, err := Create(t.Context(), options(t, filepath.Join(base, "link", "stack")))
	if err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(base)
	if err != nil {
		t.Fatal(err)
	}
	if d.Path() != filepath.Join(want, "real", "stack") {
		t.Errorf("path %s", d.Path())
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	other := place(t)
	write(t, filepath.Join(other, "file"), "")
	for name, test := range map[string]struct {
		path, stack string
		kind        error
	}{
		"ours":            {d.Path(), "test", nil},
		"another stack's": {d.Path(), "other", ErrForeign},
		"absent":          {d.Path("nowhere"), "test", ErrAbsent},
		"empty":           {place(t), "test", ErrAbsent},
		"strange":         {other, "test", ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			before := listing(t, d.Path()) + listing(t, other)
			if _, err := Open(test.path, test.stack); !errors.Is(err, test.kind) {
				t.Errorf("error %v, want %v", err, test.kind)
			}
			if difference := cmp.Diff(before, listing(t, d.Path())+listing(t, other)); difference != "" {
				t.Errorf("something was changed:\n%s", difference)
			}
		})
	}
}
