package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// state is the worker's folder: a lock that says it is in use, run/HANDLE for each run, and spool/HANDLE for each result that
// waits for the store.
type state struct {
	lock *os.File
	runs string
}

const spoolFolder = "spool"

// openState takes the folder. Two workers in one would take each other's runs for leftovers.
func openState(path string) (*state, error) {
	runs := filepath.Join(path, "run")
	for _, folder := range []string{runs, filepath.Join(path, spoolFolder)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("make the state directory: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another worker uses the state directory %s: give each its own", path)
		}
		return nil, fmt.Errorf("lock the state directory %s: %w", path, err)
	}
	return &state{lock: lock, runs: runs}, nil
}

// close gives the folder free.
func (s *state) close() { _ = s.lock.Close() }

// newID names a life: sortable by time for people, random for uniqueness.
func newID() string {
	digits := make([]byte, 4)
	_, _ = rand.Read(digits) // never fails
	return time.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(digits)
}

// makeRun makes the folder of a run.
func (s *state) makeRun(id string) (string, error) {
	folder := filepath.Join(s.runs, id)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make the run's folder: %w", err)
	}
	return folder, nil
}

// clearLeftovers removes the folders of runs whose worker died. Their requests went back to the broker with its
// connection.
func (w *Worker) clearLeftovers(ctx context.Context, s *state) {
	found, err := os.ReadDir(s.runs)
	if err != nil {
		w.log.Error("looking for what a dead worker left behind", "error", err)
		return
	}
	for _, leftover := range found {
		folder := filepath.Join(s.runs, leftover.Name())
		within, cancel := context.WithTimeout(ctx, removeLimit)
		err := w.testbeds.Remove(within, folder)
		cancel()
		if err != nil {
			w.log.Error("the folder of a dead worker's run is left behind", "folder", folder, "error", err)
			continue
		}
		w.log.Info("removed the folder of a dead worker's run", "folder", folder)
	}
}

// noFollow refuses a link in the place of a file, and a pipe does not make us wait.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
