package directory_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/storetest"
)

func open(t *testing.T, path string) *directory.Store {
	t.Helper()
	s, err := directory.New(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

func put(t *testing.T, s store.Store, container, object, content string) error {
	t.Helper()
	return s.Put(t.Context(), container, object, strings.NewReader(content), int64(len(content)), store.Properties{})
}

// TestNameAndFolder: the one thing that a folder cannot do as Swift does is refused in words, and harms nothing.
func TestNameAndFolder(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if err := s.CreateContainer(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "c", "a", "content"); err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "c", "b/c", "content"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "a/b/c", "b"} {
		if err := put(t, s, "c", name, "other"); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("put %s: error %v, want ErrInvalid", name, err)
		}
		if _, _, err := s.Get(t.Context(), "c", name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get %s: error %v, want ErrNotFound", name, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b/c"}, names(t, s, "c")); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

func names(t *testing.T, s store.Store, container string) []string {
	t.Helper()
	var names []string
	for entry, err := range store.Walk(t.Context(), s, container, "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name)
	}
	return names
}

// TestNoEscape: links that somebody laid into the folder lead nowhere.
func TestNoEscape(t *testing.T) {
	t.Parallel()
	outside, path := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.CreateContainer(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"c/file": filepath.Join(outside, "secret"), "c/folder": outside, "linked": outside,
	} {
		if err := os.Symlink(target, filepath.Join(path, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, object := range []string{"file", "folder/secret"} {
		if _, _, err := s.Get(t.Context(), "c", object); err == nil {
			t.Errorf("get %s: it was read", object)
		}
	}
	if _, _, err := s.Get(t.Context(), "linked", "secret"); err == nil {
		t.Error("a container outside was read")
	}
	if err := put(t, s, "c", "folder/new", "content"); err == nil {
		t.Error("put folder/new: it was written")
	}
	if err := put(t, s, "linked", "new", "content"); err == nil {
		t.Error("a container outside was written to")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	if got := names(t, s, "c"); len(got) != 0 {
		t.Errorf("links are listed: %q", got)
	}
}

// TestPlainFiles: what lies in the folder is what was put, readable without us, and nothing else stays behind.
func TestPlainFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	s := open(t, path)
	if err := s.CreateContainer(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "c", "a/b", "content"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "c", "short", strings.NewReader("x"), 5, store.Properties{}); err == nil {
		t.Error("a short body was stored")
	}
	if content, err := os.ReadFile(filepath.Join(path, "c", "a", "b")); err != nil || string(content) != "content" {
		t.Errorf("file: %q, %v", content, err)
	}
	if left, err := os.ReadDir(filepath.Join(path, ".new")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// And the other way round: a file that was laid there is an object.
	if err := os.WriteFile(filepath.Join(path, "c", "by-hand"), []byte("hand"), 0o644); err != nil {
		t.Fatal(err)
	}
	body, properties, err := s.Get(t.Context(), "c", "by-hand")
	if err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	want := store.Properties{ContentType: "application/octet-stream", Size: 4}
	if diff := cmp.Diff(want, properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

// TestSweep: what a crash left is removed by the next start, what another process is writing is not.
func TestSweep(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	open(t, path)
	old, young := filepath.Join(path, ".new", "old"), filepath.Join(path, ".new", "young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young file is gone: %v", err)
	}
}

// TestTwoStores: two openings of one folder see each other's objects.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	one, other := open(t, path), open(t, path)
	if err := one.CreateContainer(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	if err := put(t, other, "c", "object", "content"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"object"}, names(t, one, "c")); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

func TestNotAFolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.New(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}
