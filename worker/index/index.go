// Package index is the results index: a SQLite file that answers at once what the object store would answer only after
// thousands of requests. Its tables test and result are those of Ubuntu's autopkgtest.db, which britney reads.
//
// Everything in it was read from a result.tar in the store. A completion message is a hint that says where to look; what
// it claims is never written. Hence the file is not precious: without it, a Lister builds the same index from the store
// alone, and a file that is damaged or of another format is set aside and built again.
//
// The package knows nothing of the broker or the web. Start reading at Index.Ingest, then Lister.
package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrLocked says that another process has the index open for writing.
var ErrLocked = errors.New("another process has this index open")

// errFormat says that a file is no index of ours.
var errFormat = errors.New("the file is not an index of this format")

// Index is an open index. Its methods may be called from any goroutine; writes happen one after the other.
type Index struct {
	write *sql.DB // one connection
	read  *sql.DB // a few connections that cannot write
	lock  *os.File
	log   *slog.Logger
	now   func() time.Time
}

// Open opens the index at path, or begins an empty one when there is none. A file that cannot be used (damaged, or of
// another format) is renamed to path.unusable and a new one begun. Only one process can have it open (ErrLocked).
func Open(ctx context.Context, path string, log *slog.Logger) (*Index, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	x, err := open(ctx, path)
	if unusable(err) {
		log.Warn("setting the unusable index aside and beginning a new one", "path", path, "error", err)
		if err = setAside(path); err == nil {
			x, err = open(ctx, path)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the index %s: %w", path, err), lock.Close())
	}
	x.lock, x.log, x.now = lock, log, time.Now
	return x, nil
}

// Close closes the file. It must be called once, after everything that uses the index has stopped.
func (x *Index) Close() error {
	// The writer is closed last, so that SQLite can fold the write-ahead log into the file.
	return errors.Join(x.read.Close(), x.write.Close(), x.lock.Close())
}

// Check reads from the index, to find out whether it can be read.
func (x *Index) Check(ctx context.Context) error {
	var format int
	if err := x.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&format); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	return nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the index's lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func open(ctx context.Context, path string) (*Index, error) {
	// The cache sizes are in KiB and small on purpose: the file is small enough for the kernel's cache.
	write, err := openPool(path, 1, "cache_size(-1024)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, write); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read, err := openPool(path, 4, "cache_size(-512)", "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	// A connection that is not needed gives its memory back.
	read.SetMaxIdleConns(1)
	read.SetConnMaxIdleTime(time.Minute)
	return &Index{write: write, read: read}, nil
}

func openPool(path string, connections int, pragmas ...string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{"busy_timeout(10000)"}, pragmas...)}
	name := url.URL{Scheme: "file", Path: absolute, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return db, nil
}

// unusable tells whether err means that the file itself is at fault, and not the disk, the rights or the moment.
func unusable(err error) bool {
	if errors.Is(err, errFormat) {
		return true
	}
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	primary := failure.Code() & 0xff // the upper bits refine the code
	return primary == sqlite3.SQLITE_NOTADB || primary == sqlite3.SQLITE_CORRUPT
}

func setAside(path string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(path, path+".unusable")
}
