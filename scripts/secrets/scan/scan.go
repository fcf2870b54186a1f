// Package scan finds the secrets that this project generates where they must not be: in states, plans, logs and arguments of
// processes. It knows their form (config.NewSecret) and that of a private key, so it needs no list of them.
package scan

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// length is that of a generated secret.
	length = 26
	// distinct is the least number of different characters in one. A line of one letter is none, and less than one secret in a
	// billion has fewer.
	distinct = 8
)

var privateKey = []byte("PRIVATE KEY-----\n")

// Finding is a place of a secret; it does not show it.
type Finding struct {
	Path   string // of a file; what is within an archive follows behind a colon
	Offset int64
	Before string // what stands before it
}

// String is for people.
func (f Finding) String() string {
	return fmt.Sprintf("%s: at byte %d, behind %q", f.Path, f.Offset, f.Before)
}

// Text returns where the first secret of a text begins.
func Text(text []byte) (at int, found bool) {
	if at := bytes.Index(text, privateKey); at >= 0 {
		return at, true
	}
	run := 0
	for i, c := range text {
		if c < '2' || c > 'Z' || c > '7' && c < 'A' {
			run = 0
			continue
		}
		if run++; run >= length && differs(text[i+1-length:i+1]) {
			return i + 1 - length, true
		}
	}
	return 0, false
}

func differs(text []byte) bool {
	var seen uint64
	n := 0
	for _, c := range text {
		if bit := uint64(1) << (c - '2'); seen&bit == 0 {
			seen |= bit
			n++
		}
	}
	return n >= distinct
}

// Tree scans all regular files below some paths. A path that is not there is an error: then nothing was looked at.
func Tree(paths ...string) (found []Finding, files int, err error) {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			files++
			here, err := file(name)
			found = append(found, here...)
			return err
		})
		if err != nil {
			return found, files, err
		}
	}
	return found, files, nil
}

// file scans a file, and what is packed in it: a saved plan is a zip archive, an old log may be compressed.
func file(path string) ([]Finding, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch head = head[:n]; {
	case bytes.Equal(head, []byte("\x7fELF")): // a program has alphabets and texts like those, and is older than any secret
		return nil, nil
	case bytes.Equal(head, []byte("PK\x03\x04")):
		return archive(path)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return stream(path, unpacked)
	}
	return stream(path, f)
}

func archive(path string) (found []Finding, err error) {
	packed, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer packed.Close()
	for _, member := range packed.File {
		content, err := member.Open()
		if err != nil {
			return found, fmt.Errorf("%s: %w", path, err)
		}
		here, err := stream(path+":"+member.Name, content)
		found = append(found, here...)
		if err = errors.Join(err, content.Close()); err != nil {
			return found, err
		}
	}
	return found, nil
}

// context is how much of what stands before a secret is shown.
const context = 40

// stream finds the first secret of a text of any length.
func stream(name string, text io.Reader) ([]Finding, error) {
	const block, overlap = 1 << 20, context + length + 1
	reader := bufio.NewReaderSize(text, block)
	var kept []byte
	var offset int64 // of kept
	buffer := make([]byte, block)
	for {
		n, err := reader.Read(buffer)
		kept = append(kept, buffer[:n]...)
		if at, found := Text(kept); found {
			before := kept[max(0, at-context):at]
			return []Finding{{name, offset + int64(at), string(before)}}, nil
		}
		if drop := len(kept) - overlap; drop > 0 {
			kept = append(kept[:0], kept[drop:]...)
			offset += int64(drop)
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
}
