package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const manifestName = "service.json"

// manifest is service.json: what the last Converge put in place and finished. It is written last, so a service without
// one is half-made, and anything that differs from it is drift or an interrupted change.
type manifest struct {
	Service   string                  `json:"service"`
	Format    int                     `json:"format"`
	Files     map[string]manifestFile `json:"files"`
	Data      []string                `json:"data,omitempty"`
	Makes     []string                `json:"makes,omitempty"`
	Processes []manifestProcess       `json:"processes"`
	Binary    *manifestBinary         `json:"binary,omitempty"`
}

// manifestFile describes a file without giving a secret away. Of one that is, size and time of writing must do.
type manifestFile struct {
	Mode     string     `json:"mode"`
	SHA256   string     `json:"sha256,omitempty"`
	Secret   bool       `json:"secret,omitempty"`
	Size     int64      `json:"size"`
	Modified *time.Time `json:"modified,omitempty"`
}

type manifestProcess struct {
	Name string `json:"name"`
}

type manifestBinary struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func (b manifestBinary) file() string {
	return filepath.Join("bin", Binary{Name: b.Name, SHA256: b.SHA256}.file())
}

// readManifest returns fs.ErrNotExist for a service that is not there or half-made.
func readManifest(root *os.Root, service string) (manifest, error) {
	name := filepath.Join("services", service, manifestName)
	data, err := readRegular(root, name)
	if err != nil {
		return manifest{}, fmt.Errorf("read the manifest of service %s: %w", service, err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, fmt.Errorf("read the manifest of service %s: %w", service, err)
	}
	return m, nil
}

// describe records a file as it is on disk now.
func describe(root *os.Root, name string, secret bool) (manifestFile, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return manifestFile{}, err
	}
	if !info.Mode().IsRegular() {
		return manifestFile{}, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("not a regular file")}
	}
	f := manifestFile{Mode: fmt.Sprintf("%04o", info.Mode().Perm()), Size: info.Size(), Secret: secret}
	if secret {
		modified := info.ModTime().UTC()
		f.Modified = &modified
		return f, nil
	}
	data, err := readRegular(root, name)
	if err != nil {
		return manifestFile{}, err
	}
	sum := sha256.Sum256(data)
	f.SHA256 = hex.EncodeToString(sum[:])
	return f, nil
}

// differs says in words how the file on disk is not the recorded one; empty when it is.
func (f manifestFile) differs(root *os.Root, name string) string {
	now, err := describe(root, name, f.Secret)
	switch {
	case os.IsNotExist(err):
		return "is gone"
	case err != nil:
		return "cannot be read"
	case now.Mode != f.Mode:
		return fmt.Sprintf("has the mode %s instead of %s", now.Mode, f.Mode)
	case now.SHA256 != f.SHA256 || now.Size != f.Size || f.Modified != nil && !now.Modified.Equal(*f.Modified):
		return "was changed by hand"
	}
	return ""
}
