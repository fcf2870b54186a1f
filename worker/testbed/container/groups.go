// Package container is what the backends have in common whose testbeds are containers made with liblxc: a bridge in the
// network of a run, and the control groups that are left when everything else of a container has gone.
//
// It is not a backend, and knows nothing of the tools that make containers.
package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// controlGroups is where all hierarchies of control groups are.
const controlGroups = "/sys/fs/cgroup"

// Clean ends what is left of the containers whose names begin like this, and removes their control groups. Those below them are
// the containers' own making. Without a name there is nothing to do.
func Clean(ctx context.Context, name string) error { return clean(ctx, controlGroups, name) }

// Left are the control groups that the containers of any run have left.
func Left() []string {
	found, _ := groups(controlGroups, testbed.NamePrefix)
	return found
}

// lookEvery is how often the end of killed processes is looked for.
const lookEvery = 50 * time.Millisecond

// cleanLimit bounds the wait for them: they may be in the middle of input or output.
const cleanLimit = 30 * time.Second

func clean(ctx context.Context, root, name string) error {
	if name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cleanLimit, errors.New("not done within "+cleanLimit.String()))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		found, err := groups(root, name)
		for _, folder := range found {
			err = errors.Join(err, removeGroup(folder))
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// groups finds the groups that lxc makes for a container whose name begins like this, in every hierarchy: lxc.payload.NAME,
// lxc.monitor.NAME, and with a number behind it where one was there before. They lie wherever the worker itself does.
func groups(root, name string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just gone
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		for _, kind := range []string{"lxc.payload.", "lxc.monitor.", "lxc.pivot."} {
			if strings.HasPrefix(entry.Name(), kind+name) {
				found = append(found, path)
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("look for the control groups of a container: %w", err)
	}
	return found, err
}

// removeGroup kills what is in a group and removes it with those below it, the deepest first. Their files go by themselves.
func removeGroup(folder string) error {
	var folders []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && entry.IsDir():
			folders = append(folders, path)
		case err == nil && entry.Name() == "cgroup.procs":
			killAll(path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into a control group: %w", err)
	}
	slices.Reverse(folders)
	for _, folder := range folders {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a control group: %w", err)
		}
	}
	return nil
}

// killAll kills the processes that a file lists. One that has ended meanwhile is no matter.
func killAll(path string) {
	text, _ := os.ReadFile(path) // without it, removing the group fails
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
