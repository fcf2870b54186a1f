package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is short beside a build, and there is nothing to be woken by.
const lockPoll = 200 * time.Millisecond

// lock makes the folder of images, and makes sure that one image at a time is built in it, by whichever process: two
// builds at once would each take twice as long, and two of the same image would take each other's files.
func (k *keeper) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(k.cfg.Directory, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of images: %w", err)
	}
	return Lock(ctx, filepath.Join(k.cfg.Directory, ".lock"), func() {
		k.log.Info("waiting for another image to be built", "directory", k.cfg.Directory)
	})
}

// Lock takes a file that one process at a time has, and makes it if it is missing. It waits for as long as ctx allows, and calls waiting
// once if it has to. The lock goes with the process.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of images: %w", err)
	}
	for told := false; ; told = true {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock the folder of images: %w", err)
		}
		if !told {
			waiting()
		}
		wait(ctx, lockPoll)
		if ctx.Err() != nil {
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}
