package lxd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Where the daemon of this machine listens: as LXD_DIR says, else as Debian's package and the snap have it.
var daemonFolders = []string{"/var/lib/lxd", "/var/snap/lxd/common/lxd"}

const (
	socketName   = "unix.socket"
	configInside = "/backend/config"
)

var errNoSocket = errors.New("no LXD listens on this machine (" + socketName + " in $LXD_DIR or " + strings.Join(daemonFolders, " or ") +
	"): start it, or name a remote one (-r REMOTE), or leave the arguments away to have containers of our images")

// socket is where the daemon of this machine listens.
func socket() (string, error) {
	folders := daemonFolders
	if own := os.Getenv("LXD_DIR"); own != "" {
		folders = []string{own}
	}
	for _, folder := range folders {
		if path := filepath.Join(folder, socketName); exists(path) {
			return path, nil
		}
	}
	return "", errNoSocket
}

// config is the folder of the client's configuration: remotes, and the certificates by which they know us.
func config() string {
	home, _ := os.UserHomeDir() // without one there is no configuration
	return cmp.Or(os.Getenv("LXD_CONF"), filepath.Join(home, ".config/lxc"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// furnishGiven shows a run the daemon that an operator's arguments are for, and the client's configuration.
func furnishGiven(t testbed.Testbed) (testbed.Furniture, error) {
	f := testbed.Furniture{Files: map[string]string{}, Shows: map[string]string{}, Environment: []string{"LXD_CONF=" + configInside}}
	if remoteOf(t.Given) == "" {
		path, err := socket()
		if err != nil {
			return testbed.Furniture{}, err
		}
		f.Shows[filepath.Join(stateRoot, socketName)] = path
	}
	if exists(config()) {
		f.Shows[configInside] = config()
	}
	withClient(&f, t)
	return f, nil
}

// cleanGiven deletes the containers that have the run's name, and no other one. One that was made to vanish when it stops may do
// so meanwhile.
func cleanGiven(ctx context.Context, t testbed.Testbed) error {
	if t.Name == "" {
		return nil
	}
	remote := remoteOf(t.Given)
	names, err := containers(ctx, remote, t.Name+"-")
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if _, err := ask(ctx, "delete", "--force", remote+name); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil {
		return nil
	}
	if names, err = containers(ctx, remote, t.Name+"-"); err == nil && len(names) == 0 {
		return nil
	}
	return errors.Join(failed, err)
}

// containers are those on a remote whose names begin like this.
func containers(ctx context.Context, remote, prefix string) ([]string, error) {
	out, err := ask(ctx, "list", "--format", "csv", "--columns", "n", remote)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.FieldsSeq(out) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// ask has LXD's client ask an operator's daemon, and returns what it printed.
func ask(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "lxc", args...)
	command.Env = append(testbed.Environment("/tmp"), "LXD_CONF="+config())
	if path, err := socket(); err == nil {
		command.Env = append(command.Env, "LXD_SOCKET="+path)
	}
	command.Dir = "/"
	command.WaitDelay = 5 * time.Second
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("lxc %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}
