package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cachePause is between two looks at a file that somebody else makes.
const cachePause = time.Second

// inCache makes a file of the cache, unless it is there. Who makes it writes beside it, and holds a lock on that: so nobody sees a
// half, two make it once, and what a killed one has left is overwritten by the next.
func inCache(ctx context.Context, path string, fill func(*os.File) error) (err error) {
	if exists(path) {
		return nil
	}
	failed := func(err error) error { return fmt.Errorf("write to the cache: %w", err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return failed(err)
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	file, err := openLocked(ctx, part)
	if err != nil {
		return failed(err)
	}
	defer file.Close()
	if exists(path) {
		return ignoreAbsent(os.Remove(part)) // we made it anew by opening it
	}
	err = errors.Join(file.Truncate(0), fill(file))
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(part)))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// openLocked opens a file, or makes it, once nobody else has it.
func openLocked(ctx context.Context, path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // everybody may read what packages make
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && isAt(file, path) {
			return file, nil
		}
		if err = errors.Join(err, file.Close()); err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for whoever makes %s: %w", path, context.Cause(ctx))
		case <-time.After(cachePause):
		}
	}
}

// isAt says whether a file is still at its path: whoever had it before us may have moved it, or removed it.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	found, missing := os.Stat(path)
	return err == nil && missing == nil && os.SameFile(opened, found)
}
