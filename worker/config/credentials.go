package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrExposed says that other accounts can read a credentials file.
var ErrExposed = errors.New("credentials are readable by other accounts")

const maxCredentials = 64 << 10

// readCredentials reads a file that only its owner may read: a password that others could have read is to be treated as
// known, so this is an error and not a warning.
func readCredentials(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read credentials: %s is not a regular file", path)
	}
	if err := CheckMode(path, info.Mode()); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxCredentials+1))
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if len(content) > maxCredentials {
		return nil, fmt.Errorf("%w: %s: larger than %d bytes", ErrInvalid, path, maxCredentials)
	}
	return content, nil
}

// CheckMode is an ErrExposed when other accounts than its owner can do anything with a file that holds a secret.
func CheckMode(path string, mode fs.FileMode) error {
	if mode = mode.Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, want 0600: run chmod 600 %s, and change the password if others "+
			"may have read it", ErrExposed, path, mode, path)
	}
	return nil
}
