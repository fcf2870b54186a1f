package host

import (
	"context"
	"errors"
)

// Binaries is where the services' own programs come from: PLACE/linux_ARCH/NAME.
type Binaries struct {
	Place string // the folder of the running program when empty
}

// Binary is one program, known by its contents.
type Binary struct {
	Name   string
	SHA256 string
	Source string // where to copy it from
}

// Locate finds a program and hashes it. An empty architecture is this machine's. A missing one is ErrMissing.
func (b Binaries) Locate(name, architecture string) (Binary, error) { return Binary{}, errors.New("not yet") }

// BinaryPath is where a program is, or will be, installed: bin/NAME-SHA12.
func (d *Directory) BinaryPath(b Binary) string { return "" }

// InstallBinary copies a program into the folder, checks what it copied by hash, and removes the versions that no
// service uses. [Directory.Converge] calls it for [Service.Binary].
func (d *Directory) InstallBinary(ctx context.Context, b Binary) (path string, err error) {
	return "", errors.New("not yet")
}
