package testbed

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tidy makes a folder that tests have filled safe for the account to read: everything in it belongs to the account and
// is readable, nothing is set-user-ID (the account's!), and only folders, files and links remain. A named pipe, say,
// would keep its reader waiting for ever. Links are kept as they are: do not follow them.
//
// It runs as root of a user namespace in which all owners are known, when nothing else of the run is left.
func tidy(folder string) error { return tidyAs(folder, 0, 0) }

func tidyAs(folder string, uid, gid int) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("tidy the output of a run: %w", err)
		}
		kind := entry.Type()
		if kind&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			return os.Remove(path)
		}
		if err := os.Lchown(path, uid, gid); err != nil || kind&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o600
		if kind.IsDir() {
			mode |= 0o700
		}
		return os.Chmod(path, mode)
	})
}
