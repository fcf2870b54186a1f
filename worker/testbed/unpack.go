package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unpackLimit bounds the unpacking of an image, which takes seconds, and what is made of it, which may take some more.
const unpackLimit = 20 * time.Minute

// unpacked returns a folder with the content of an image, or with what a script has made of it (Furniture.Shape), to be read
// by any number of runs. It is made once and kept; those of images that have been replaced are removed when nobody uses them
// any more. release tells that the caller is done with it.
func (r *Runner) unpacked(ctx context.Context, image, shape string) (folder string, release func(), err error) {
	base := filepath.Join(r.stateFolder(), "unpacked")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", nil, fmt.Errorf("make a folder for unpacked images: %w", err)
	}
	all, err := lockFile(ctx, filepath.Join(base, "lock"), unix.LOCK_EX)
	if err != nil {
		return "", nil, err
	}
	defer all.Close()
	key, err := imageKey(image, shape)
	if err != nil {
		return "", nil, err
	}
	folder = filepath.Join(base, key)
	use, err := lockFile(ctx, folder+".used", unix.LOCK_SH)
	if err != nil {
		return "", nil, err
	}
	if _, missing := os.Stat(folder); missing != nil {
		if err := unpack(ctx, image, shape, folder, r.log); err != nil {
			use.Close()
			return "", nil, err
		}
	}
	r.dropUnpacked(ctx, base, key)
	return folder, func() { use.Close() }, nil
}

// imageKey names what is made of an image that may be replaced by another one at the same path.
func imageKey(image, shape string) (string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", fmt.Errorf("look at an image: %w", err)
	}
	stat, _ := info.Sys().(*syscall.Stat_t) // as on every Unix
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %d %d %s", image, stat.Dev, stat.Ino, info.Size(), info.ModTime().UnixNano(), shape))
	name := strings.TrimSuffix(filepath.Base(image), ImageSuffix)
	return name + "." + hex.EncodeToString(sum[:6]), nil
}

func unpack(ctx context.Context, image, shape, folder string, log *slog.Logger) error {
	if err := CheckSpace(filepath.Dir(folder), spaceNeeded); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unpackLimit, errors.New("not done within "+unpackLimit.String()))
	defer cancel()
	next := folder + ".new"
	if err := Remove(ctx, next); err != nil { // of a program that was killed
		return err
	}
	if err := os.Mkdir(next, 0o755); err != nil {
		return fmt.Errorf("unpack an image: %w", err)
	}
	started := time.Now()
	// Devices cannot be made by everybody, and a testbed has the run's.
	command := Command{Name: "tar", Package: "tar", Temporary: "/tmp", Args: []string{"--extract", "--file", image,
		"--directory", next, "--numeric-owner", "--exclude=./dev/*"}}
	err := command.Run(ctx, log)
	if err == nil && shape != "" {
		command = Command{Name: "sh", Package: "dash", Temporary: "/tmp", Args: []string{"-c", "set -e\ncd \"$1\"\n" + shape, "sh", next}}
		err = command.Run(ctx, log)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("unpack the image %s: %w", image, err), Remove(context.WithoutCancel(ctx), next))
	}
	if err := os.Rename(next, folder); err != nil {
		return fmt.Errorf("unpack an image: %w", err)
	}
	log.Info("image unpacked", "image", image, "folder", folder, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// dropUnpacked removes older unpackings of an image that no run uses. What fails is tried again with the next run.
func (r *Runner) dropUnpacked(ctx context.Context, base, key string) {
	name, _, _ := strings.Cut(key, ".")
	marks, _ := filepath.Glob(filepath.Join(base, name+".*.used")) // release and architecture have no special characters
	for _, mark := range marks {
		folder := strings.TrimSuffix(mark, ".used")
		if filepath.Base(folder) == key {
			continue
		}
		file, err := os.Open(mark)
		if err != nil {
			continue
		}
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err := errors.Join(Remove(ctx, folder), os.Remove(mark)); err != nil {
				r.log.Warn("an unpacked image that nobody needs is left", "folder", folder, "error", err)
			}
		}
		file.Close()
	}
}

// lockFile waits for a lock, which ends when the file is closed, or the program does.
func lockFile(ctx context.Context, path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB); err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}
