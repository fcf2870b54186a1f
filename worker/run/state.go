package run

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
)

// state is the worker's folder: a lock that says it is in use, its name, run/HANDLE for each run, spool/HANDLE for each result
// that waits for the store, leases/HANDLE for each lease.
type state struct {
	lock   *os.File
	runs   string
	leases string // records of the leases of lives that are not over
	worker string // a name for this worker that no other has, the same after a restart
}

const (
	runsFolder  = "run"
	spoolFolder = "spool"
)

// openState takes the folder. Two workers in one would take each other's runs for leftovers.
func openState(path string) (*state, error) {
	runs := filepath.Join(path, runsFolder)
	leases := filepath.Join(path, "leases")
	for _, folder := range []string{runs, leases, filepath.Join(path, spoolFolder)} {
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
	worker, err := workerID(filepath.Join(path, "worker-id"))
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &state{lock: lock, runs: runs, leases: leases, worker: worker}, nil
}

// WorkerName is the name of the worker that has a state directory: no other has it, and it is the same after a restart. A new worker
// gets one. It does not take the folder.
func WorkerName(stateDirectory string) (string, error) {
	if err := os.MkdirAll(stateDirectory, 0o700); err != nil {
		return "", fmt.Errorf("make the state directory: %w", err)
	}
	return workerID(filepath.Join(stateDirectory, "worker-id"))
}

// workerID reads the worker's name, and makes one for a new worker. Two that do so at the same time agree on one.
func workerID(path string) (string, error) {
	content, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(content)); err == nil && lease.Handle.MatchString(name) {
		return name, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the worker's name: %w", err)
	}
	host, hostErr := os.Hostname()
	if hostErr != nil {
		host = "worker"
	}
	digits := make([]byte, 4)
	_, _ = rand.Read(digits) // never fails
	name := notInHandles.ReplaceAllString(host, "-")
	name = name[:min(len(name), 40)] + "-" + hex.EncodeToString(digits)
	draft := path + draftSuffix + hex.EncodeToString(digits)
	if err := os.WriteFile(draft, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the worker: %w", err)
	}
	defer func() { _ = os.Remove(draft) }()
	if err == nil { // what is there is damaged
		err = os.Rename(draft, path)
	} else if err = os.Link(draft, path); errors.Is(err, os.ErrExist) {
		return workerID(path)
	}
	if err != nil {
		return "", fmt.Errorf("name the worker: %w", err)
	}
	return name, nil
}

var notInHandles = regexp.MustCompile(`[^0-9a-zA-Z-]+`)

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

// noFollow refuses a link in the place of a file, and a pipe does not make us wait.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
