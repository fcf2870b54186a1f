package run

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// parcel is a result packed for the store: its objects as files of one folder, and all that is needed to know where they
// belong. Nothing of the run beside it is needed any more.
type parcel struct {
	folder    string
	container string
	public    bool
	readers   []string // of a container that is not public
	queue     request.Queue
	pkg       string
	body      []byte // of the request: the run id's digits come from it
	objects   []object
}

// object is a file of a parcel. They are stored in order: result.tar is the last.
type object struct {
	name       string
	size       int64
	sum        string // SHA-256
	properties store.Properties
}

// readers are the users who may read the container of a request's result, if that is private.
func readers(r request.Request) []string {
	if !r.Private() {
		return nil
	}
	return []string{r.SwiftUser}
}

// logProperties let a browser show the compressed log as it is.
var logProperties = store.Properties{ContentType: "text/plain; charset=UTF-8", ContentEncoding: "gzip"}

func (p *parcel) path(name string) string { return filepath.Join(p.folder, name) }

// size is that of all objects, in bytes.
func (p *parcel) size() (sum int64) {
	for _, o := range p.objects {
		sum += o.size
	}
	return sum
}

// add makes a file of the parcel.
func (p *parcel) add(name string, properties store.Properties, write func(io.Writer) error) error {
	file, err := os.OpenFile(p.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	hash := sha256.New()
	if err := errors.Join(write(io.MultiWriter(file, hash)), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	info, err := os.Stat(p.path(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	p.objects = append(p.objects, object{name, info.Size(), hex.EncodeToString(hash.Sum(nil)), properties})
	return nil
}

func (p *parcel) addBytes(name string, content []byte) error {
	return p.add(name, store.Properties{}, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// addLog packs the log, without its middle if it is too long, and with a line of ours at its end if there is one to say.
func (p *parcel) addLog(root *os.Root, remark string, limit int64) error {
	return p.add(result.LogObject, logProperties, func(w io.Writer) error {
		return compress(w, func(w io.Writer) error {
			if err := copyLog(w, root, logFile, limit); err != nil {
				return err
			}
			_, err := io.WriteString(w, remark)
			return err
		})
	})
}

// compress packs well enough: the last two per cent would take ten times as long, and the request waits.
func compress(w io.Writer, write func(io.Writer) error) error {
	packer, _ := packers.Get().(*gzip.Writer) // nothing else is in there
	defer packers.Put(packer)
	packer.Reset(w)
	return errors.Join(write(packer), packer.Close())
}

// packers are used again: each has a megabyte of tables.
var packers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// copyLog copies a log if there is one. A test might have replaced it by anything else.
func copyLog(w io.Writer, root *os.Root, name string, limit int64) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	excerpt, err := testbed.NewExcerpt(file, info.Size(), limit)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, excerpt)
	return err
}

// addArtifacts packs all that autopkgtest wrote, but the log, which has its own object, and the logs of earlier attempts.
func (p *parcel) addArtifacts(root *os.Root, earlier []attempt, logLimit int64, log *slog.Logger) error {
	return p.add(result.ArtifactsObject, store.Properties{}, func(w io.Writer) error {
		return compress(w, func(w io.Writer) error {
			archive := tar.NewWriter(w)
			err := addTree(archive, root, logLimit, log)
			for i, a := range earlier {
				err = errors.Join(err, addEarlier(archive, a, i+1, logLimit))
			}
			return errors.Join(err, archive.Close())
		})
	})
}

// addTree archives what lies below root. What a stranger's test made is taken as it is and never followed: links are
// stored as links, and what is neither file, folder nor link is left out.
func addTree(archive *tar.Writer, root *os.Root, logLimit int64, log *slog.Logger) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			// The name is too long, the folder cannot be read: not worth the whole result.
			log.Warn("left out of the artifacts", "file", head([]byte(name)), "error", err)
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if name == "." || name == logFile {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			log.Warn("left out of the artifacts", "file", head([]byte(name)), "error", err)
			return nil
		}
		return addEntry(archive, root, name, info, logLimit, log)
	})
}

func addEntry(archive *tar.Writer, root *os.Root, name string, info fs.FileInfo, logLimit int64, log *slog.Logger) error {
	header := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
	switch {
	case info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil || strings.Contains(target, "\x00") {
			return nil
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
	case info.Mode().IsRegular():
		header.Typeflag, header.Size = tar.TypeReg, info.Size()
	default:
		log.Warn("left out of the artifacts", "file", head([]byte(name)), "type", info.Mode().Type().String())
		return nil
	}
	if header.Typeflag != tar.TypeReg {
		return archive.WriteHeader(header)
	}
	file, err := root.Open(name)
	if err != nil {
		log.Warn("left out of the artifacts", "file", head([]byte(name)), "error", err)
		return nil
	}
	defer func() { _ = file.Close() }()
	if !testbed.IsLog(name) {
		logLimit = 0
	}
	return addExcerpt(archive, header, file, logLimit)
}

// addExcerpt archives a file, without its middle if that is too long for a log.
func addExcerpt(archive *tar.Writer, header *tar.Header, file io.ReaderAt, limit int64) error {
	excerpt, err := testbed.NewExcerpt(file, header.Size, limit)
	if err != nil {
		return err
	}
	header.Size = excerpt.Size
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.CopyN(archive, excerpt, header.Size)
	return err
}

// addEarlier keeps the log of an attempt whose testbed failed.
func addEarlier(archive *tar.Writer, a attempt, number int, logLimit int64) error {
	root, err := os.OpenRoot(a.folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(logFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := root.Open(logFile)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: fmt.Sprintf("attempt-%d.log", number), Mode: 0o644, Size: info.Size(), ModTime: info.ModTime(),
	}
	return addExcerpt(archive, header, file, logLimit)
}
