package host

import (
	"context"
	"errors"
)

// The marks in the environment of every process of a stack.
const (
	DirectoryMark = "AUTOPKGTEST_CLOUD_DIRECTORY" // the folder
	ProcessMark   = "AUTOPKGTEST_CLOUD_PROCESS"   // the process's name
)

// Supervise starts the stack's runsvdir if it is not running. It outlives us: own session, no inherited descriptor.
// [Directory.Converge] calls it; others need not.
func (d *Directory) Supervise(ctx context.Context) error { return errors.New("not yet") }

// Supervised says whether the stack's runsvdir is running.
func (d *Directory) Supervised() (bool, error) { return false, errors.New("not yet") }
