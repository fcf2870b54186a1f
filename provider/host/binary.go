package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// youngBinary is the age below which an installed program is never removed: a service that is about to be put in
// place refers to it, but nothing on disk says so yet.
const youngBinary = time.Hour

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

func (b Binary) file() string { return b.Name + "-" + b.SHA256[:min(12, len(b.SHA256))] }

// Locate finds a program and hashes it. An empty architecture is this machine's. A missing one is ErrMissing.
func (b Binaries) Locate(name, architecture string) (Binary, error) {
	place := b.Place
	if place == "" {
		self, err := os.Executable()
		if err != nil {
			return Binary{}, fmt.Errorf("find the folder of the running program: %w", err)
		}
		place = filepath.Dir(self)
	}
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	return LocateFile(name, filepath.Join(place, "linux_"+architecture, name))
}

// LocateFile is Locate for a program that lies somewhere else.
func LocateFile(name, path string) (Binary, error) {
	file, err := os.Open(path)
	if err != nil {
		return Binary{}, &Problem{Kind: ErrMissing, Thing: "the program " + path, Cause: "cannot be read", Err: err,
			WayOut: "make build puts it there; or set the provider's place of the binaries to where it is."}
	}
	defer file.Close()
	sum, err := hashOf(file)
	if err != nil {
		return Binary{}, fmt.Errorf("read %s: %w", path, err)
	}
	return Binary{Name: name, SHA256: sum, Source: path}, nil
}

func hashOf(reader io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, reader); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// BinaryPath is where a program is, or will be, installed: bin/NAME-SHA12.
func (d *Directory) BinaryPath(b Binary) string { return d.Path("bin", b.file()) }

// InstallBinary copies a program into the folder and checks what it copied by hash. [Directory.Converge] calls it for
// [Service.Binary], and removes the versions that no service uses.
func (d *Directory) InstallBinary(ctx context.Context, b Binary) (path string, err error) {
	if !goodName.MatchString(b.Name) || len(b.SHA256) != hex.EncodedLen(sha256.Size) {
		return "", &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the program %q", b.Name), Cause: "has no usable name or hash"}
	}
	unlock, err := d.lock(ctx, lockStructure)
	if err != nil {
		return "", err
	}
	defer unlock()
	root, err := d.open()
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := d.mkdirAll(root, "bin", 0o755); err != nil {
		return "", err
	}
	name := filepath.Join("bin", b.file())
	if installed(root, name, b.SHA256) {
		now := time.Now()
		err = root.Chtimes(name, now, now) // young again: see youngBinary
	} else {
		err = d.copyBinary(root, name, b)
	}
	if err != nil {
		return "", fmt.Errorf("install %s: %w", d.Path(name), err)
	}
	return d.Path(name), nil
}

// installed checks the contents too: a copy that somebody damaged is replaced.
func installed(root *os.Root, name, sum string) bool {
	file, err := root.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Mode().Perm() != 0o755 {
		return false
	}
	present, err := hashOf(file)
	return err == nil && present == sum
}

func (d *Directory) copyBinary(root *os.Root, name string, b Binary) (err error) {
	source, err := os.Open(b.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	temporary := filepath.Join("bin", "."+b.file()+".new-"+rand.Text()[:8])
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreAbsent(root.Remove(temporary))) }()
	sum, err := hashOf(io.TeeReader(source, file))
	if err == nil && sum != b.SHA256 {
		err = &Problem{Kind: ErrInvalid, Thing: "the program " + b.Source,
			Cause: fmt.Sprintf("has changed since it was looked at: SHA-256 %s, not %s", sum, b.SHA256), WayOut: "Apply again."}
	}
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(d.account.UID, d.account.GID)
	}
	if err == nil {
		err = file.Chmod(0o755)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}

// pruneBinaries removes the versions that no service's manifest names.
func (d *Directory) pruneBinaries(ctx context.Context, root *os.Root) error {
	unlock, err := d.lock(ctx, lockStructure)
	if err != nil {
		return err
	}
	defer unlock()
	services, err := list(root, "services")
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, service := range services {
		m, err := readManifest(root, service)
		if err == nil && m.Binary != nil {
			used[filepath.Base(m.Binary.file())] = true
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // nobody knows what that service uses; the next one to look may
		}
	}
	names, err := list(root, "bin")
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join("bin", name)
		info, err := root.Lstat(path)
		if err != nil || used[name] || time.Since(info.ModTime()) < youngBinary && !strings.HasPrefix(name, ".") {
			continue
		}
		if err := ignoreAbsent(root.Remove(path)); err != nil {
			return fmt.Errorf("remove an old program: %w", err)
		}
	}
	return nil
}
