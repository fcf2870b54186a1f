package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts"
)

// furnishLock keeps two of us, also on behalf of two stacks, from furnishing one machine at the same time.
const furnishLock = "/run/autopkgtest-cloud-setup.lock"

// furnishEnd is what a set-up that is asked to end may take: it does not leave dpkg half-way.
const furnishEnd = 5 * time.Minute

// furnishing is held by the one that furnishes: the lock is one among processes.
var furnishing sync.Mutex

// Furnish brings onto this machine what a service needs to run there system-wide: Debian's packages, of which no daemon starts because
// of it, and the account with its subordinate ids. It is what scripts/setup does, which is brought along, for one service of those that it
// knows. What is there is left alone, and then it takes a moment. An empty account is [DefaultAccount], which it makes.
func Furnish(ctx context.Context, service, account string) error {
	if err := CheckSystem(); err != nil {
		return err
	}
	furnishing.Lock()
	defer furnishing.Unlock()
	lock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer unlockFile(lock)
	folder, err := os.MkdirTemp("", "autopkgtest-cloud-setup-")
	if err != nil {
		return fmt.Errorf("unpack the set-up: %w", err)
	}
	defer os.RemoveAll(folder)
	if err := unpackSetup(filepath.Join(folder, "scripts")); err != nil {
		return fmt.Errorf("unpack the set-up: %w", err)
	}
	if account == "" {
		account = DefaultAccount
	}
	said := &tail{limit: 4 << 10}
	cmd := exec.CommandContext(ctx, "/bin/bash", filepath.Join(folder, "scripts/setup"), "--service", service, "--root-part", account)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "LANG=C.UTF-8"}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} { // how apt gets at its archive
		if value := os.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = furnishEnd
	if err := closeOnExec(); err != nil {
		return err
	}
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("bring onto this machine what %s needs: %w", service, context.Cause(ctx))
	}
	if err != nil {
		return &Problem{Kind: ErrMissing, Thing: "this machine", Cause: "could not be given what " + service + " needs",
			Err: errors.Join(err, errors.New(string(bytes.TrimSpace(said.kept)))),
			WayOut: "Put right what it says and apply again; what apt said is in /var/log/autopkgtest-cloud-setup.log. Or have it " +
				"done beforehand: scripts/setup --service " + service}
	}
	return nil
}

// lockMachine waits for its turn.
func lockMachine(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(furnishLock, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock this machine's set-up: %w", err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock this machine's set-up: %w", err), file.Close())
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for another set-up of this machine: %w", err), file.Close())
		}
	}
}

func unpackSetup(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	return fs.WalkDir(scripts.Setup, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := scripts.Setup.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, name), data, 0o600)
	})
}
