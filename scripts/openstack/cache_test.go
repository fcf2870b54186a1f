package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// filled is what a file of the cache has in these tests.
const filled = "content"

func fill(file *os.File) error {
	_, err := file.WriteString(filled)
	return err
}

// onlyFiled fails unless the folder has the file, complete, and nothing else.
func onlyFiled(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil || string(content) != filled {
		t.Errorf("the file: %q, %v", content, err)
	}
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(all) != 1 {
		t.Errorf("beside it: %v, %v", all, err)
	}
}

// TestInCacheOnce: many who want a file make it once.
func TestInCacheOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cache", "file")
	var made atomic.Int32
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := inCache(t.Context(), path, func(file *os.File) error { made.Add(1); return fill(file) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("it was made %d times", made.Load())
	}
	onlyFiled(t, path)
}

// TestInCacheAfterFailures: neither one that failed nor one that was killed leaves anything to the next.
func TestInCacheAfterFailures(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	broken := errors.New("broken")
	err := inCache(t.Context(), path, func(file *os.File) error { return errors.Join(fill(file), broken) })
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 0 {
		t.Errorf("one that failed has left %v, %v", all, err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".file.part"), []byte("more than a half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := inCache(t.Context(), path, fill); err != nil {
		t.Error(err)
	}
	onlyFiled(t, path)
}

// TestInCacheWaits: who waits for another gives up with its context.
func TestInCacheWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := inCache(t.Context(), path, func(file *os.File) error {
		given, cancel := context.WithCancel(t.Context())
		cancel()
		if err := inCache(given, path, fill); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		return fill(file)
	}); err != nil {
		t.Error(err)
	}
	onlyFiled(t, path)
}
