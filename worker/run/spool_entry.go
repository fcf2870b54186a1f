package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// spoolEntry is entry.json of a result in the spool: all that another process needs to store it, to tell of it and to know
// its request again.
type spoolEntry struct {
	Handle    string        `json:"handle"`
	Queue     string        `json:"queue"`
	Body      []byte        `json:"body"` // of the request
	Container string        `json:"container"`
	Public    bool          `json:"public"`
	Began     time.Time     `json:"began"`
	ExitCode  int           `json:"exitcode"` // for people; result.tar has the result
	Objects   []spoolObject `json:"objects"`  // in the order in which they are stored
}

type spoolObject struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	Type     string `json:"content_type,omitempty"`
	Encoding string `json:"content_encoding,omitempty"`
}

const entryFile = "entry.json"

// runIDFile is beside entry.json from the moment on in which the result gets a run id, with a line for each that it was given.
// An upload that a crash has ended is taken up under the last one; what lies under the others is removed.
const (
	runIDFile   = "run-ids"
	settledMark = "settled" // the last line, once the result is known to be in order: then it is not moved any more
)

func (l *life) spoolEntry() spoolEntry {
	e := spoolEntry{
		Handle: l.id, Queue: l.delivery.Queue.Name(), Body: l.delivery.Body, Container: l.parcel.container,
		Public: l.parcel.public, Began: l.began, ExitCode: l.result.ExitCode,
	}
	for _, o := range l.parcel.objects {
		e.Objects = append(e.Objects, spoolObject{o.name, o.size, o.sum, o.properties.ContentType, o.properties.ContentEncoding})
	}
	return e
}

// write completes a folder with the objects in it, on the disk.
func (e spoolEntry) write(folder string) error {
	content, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write the spool's entry: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, entryFile), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the spool's entry: %w", err)
	}
	// Side by side: the file system brings them to the disk together.
	files := []string{entryFile}
	for _, o := range e.Objects {
		files = append(files, o.Name)
	}
	failures := make([]error, len(files))
	var syncing sync.WaitGroup
	for i, name := range files {
		syncing.Go(func() { failures[i] = syncPath(filepath.Join(folder, name)) })
	}
	syncing.Wait()
	if err := errors.Join(errors.Join(failures...), syncPath(folder)); err != nil {
		return fmt.Errorf("bring the result to the disk: %w", err)
	}
	return nil
}

// spooledResult is an entry that was read back.
type spooledResult struct {
	handle  string
	queue   request.Queue
	request request.Request
	body    []byte
	began   time.Time
	result  result.Result
	parcel  parcel
	runIDs  []result.RunID // that it was given, in this order
	settled bool           // under the last one
}

// readSpooled reads an entry and compares everything that belongs to it.
func readSpooled(folder string) (spooledResult, error) {
	content, err := os.ReadFile(filepath.Join(folder, entryFile))
	if err != nil {
		return spooledResult{}, err
	}
	var e spoolEntry
	if err := json.Unmarshal(content, &e); err != nil {
		return spooledResult{}, fmt.Errorf("%s: %w", entryFile, err)
	}
	r := spooledResult{handle: filepath.Base(folder), body: e.Body, began: e.Began}
	if e.Handle != r.handle || len(e.Objects) == 0 || e.Objects[len(e.Objects)-1].Name != result.TarObject {
		return spooledResult{}, fmt.Errorf("%s: it is of %q and has %d objects", entryFile, e.Handle, len(e.Objects))
	}
	if r.queue, err = request.ParseQueue(e.Queue); err != nil {
		return spooledResult{}, fmt.Errorf("%s: %w", entryFile, err)
	}
	if r.request, err = request.Parse(e.Body); err != nil {
		return spooledResult{}, fmt.Errorf("%s: %w", entryFile, err)
	}
	r.parcel = parcel{
		folder: folder, container: e.Container, public: e.Public, readers: readers(r.request),
		queue: r.queue, pkg: r.request.Package, body: e.Body,
	}
	for _, o := range e.Objects {
		if err := o.compare(folder); err != nil {
			return spooledResult{}, err
		}
		properties := store.Properties{ContentType: o.Type, ContentEncoding: o.Encoding}
		r.parcel.objects = append(r.parcel.objects, object{o.Name, o.Size, o.SHA256, properties})
	}
	tar, err := os.Open(r.parcel.path(result.TarObject))
	if err != nil {
		return spooledResult{}, err
	}
	defer func() { _ = tar.Close() }()
	if r.result, err = result.ReadTar(tar); err != nil {
		return spooledResult{}, err
	}
	tried, err := os.ReadFile(filepath.Join(folder, runIDFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return spooledResult{}, err
	}
	for line := range strings.Lines(string(tried)) {
		line = strings.TrimSpace(line)
		if id := result.RunID(line); id.Valid() {
			r.runIDs, r.settled = append(r.runIDs, id), false
		}
		r.settled = r.settled || line == settledMark && len(r.runIDs) > 0
	}
	return r, nil
}

// compare refuses a file that is not what was spooled.
func (o spoolObject) compare(folder string) error {
	if filepath.Base(o.Name) != o.Name {
		return fmt.Errorf("%s: an object is called %q", entryFile, o.Name)
	}
	file, err := os.Open(filepath.Join(folder, o.Name))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); size != o.Size || sum != o.SHA256 {
		return fmt.Errorf("%s is damaged: %d bytes with checksum %s, want %d with %s", o.Name, size, sum, o.Size, o.SHA256)
	}
	return nil
}

// rememberRunID notes the run id down under which the result is about to be stored.
func (p *parcel) rememberRunID(id result.RunID) error { return p.remember(string(id)) }

// rememberSettled notes down that the result is in order under the last run id.
func (p *parcel) rememberSettled() error { return p.remember(settledMark) }

// remember adds a line, unless it is the last one already.
func (p *parcel) remember(line string) error {
	file, err := os.OpenFile(p.path(runIDFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("note the run id in the spool: %w", err)
	}
	defer func() { _ = file.Close() }()
	before, err := io.ReadAll(file)
	if err == nil && !bytes.HasSuffix(before, []byte(line+"\n")) {
		_, err = file.WriteString(line + "\n")
	}
	if err != nil {
		return fmt.Errorf("note the run id in the spool: %w", err)
	}
	return nil
}
