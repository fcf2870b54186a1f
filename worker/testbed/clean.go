package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// cleanLimit bounds the removal of what a run has unpacked, a second's work for an ordinary testbed.
const cleanLimit = 2 * time.Minute

// clean removes a run's folder and hands its output over to the account. What cannot be removed is no reason to lose the
// result: whoever looks for the folders of dead runs finds it.
func clean(ctx context.Context, ready *ahead, folder, output string, log *slog.Logger) error {
	if left := removeRemains(ctx, folder); left != nil {
		// The folder has to stay, for whoever removes that later.
		log.Error("a run has left something, and its folder with it", "folder", folder, "error", left)
		folder = ""
	}
	left, err := remove(ctx, ready, folder, output, log)
	if left != nil {
		log.Error("the folder of a run is left", "folder", folder, "error", left)
	}
	if err != nil {
		return fmt.Errorf("clean up after a run: %w", err)
	}
	return nil
}

// Remove removes a folder with everything in it, also what belongs to the account's subordinate ids, which the account
// itself may not touch. It is for what runs of a dead process have left behind: their WorkDir. A folder that is not
// there is no error.
func Remove(ctx context.Context, folder string) error {
	if _, err := os.Lstat(folder); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := removeRemains(ctx, folder); err != nil {
		return fmt.Errorf("remove %s: %w", folder, err)
	}
	// What ended in order belongs to the account, and the short way is enough.
	if os.RemoveAll(folder) == nil {
		return nil
	}
	left, err := remove(ctx, nil, folder, "", slog.Default())
	if err = errors.Join(left, err); err != nil {
		return fmt.Errorf("remove %s: %w", folder, err)
	}
	return nil
}

// remove removes a folder, unless its name is empty, and tidies the output. It tells apart what is left of the folder, and
// that nothing could be tried or the output could not be tidied.
func remove(ctx context.Context, ready *ahead, folder, output string, log *slog.Logger) (left, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cleanLimit, errors.New("not done within "+cleanLimit.String()))
	defer cancel()
	path, err := findCommand("rm", "coreutils")
	if err != nil {
		return nil, err
	}
	// Not os.RemoveAll, which keeps a descriptor open for every level of a tree that a stranger has made.
	argv := []string{path, "-rf", "--one-file-system", "--", filepath.Clean(folder)}
	if folder == "" {
		argv = nil
	}
	command := confinement{
		inside: insideConfig{Argv: argv, Env: environment("/tmp"), Dir: "/", Tidy: output},
		// Root has no namespace in which all owners are his, and needs none.
		privileged: os.Geteuid() == 0, ahead: ready, log: log,
	}
	done, err := command.run(ctx)
	if code := done.status.shell(); code != 0 {
		left = fmt.Errorf("rm ended with %d", code)
	}
	return left, err
}
