// Package store is the contract of a result store: containers that hold objects with long names, listed in order. Results
// live there and nowhere else.
//
// The backends are the packages below it (swift, directory); storetest is the suite that each of them passes. What crosses
// all of them, such as retrying for hours, belongs into decorators of Store and never into a backend. Names of containers
// and objects come from package result; here they are text. Start reading at Store.
package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// The kinds of errors, for errors.Is. Any other error is a bug or a broken disk.
var (
	// ErrNotFound: the container or the object does not exist.
	ErrNotFound = errors.New("not found in the store")
	// ErrUnavailable: the store could not be reached, failed inside, or damaged what it was given; the same call may
	// succeed later.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrDenied: the store knows the account and refuses, does not know it, or refuses anonymous access.
	ErrDenied = errors.New("the store denies access")
	// ErrInvalid: a name, a size or a query that no store accepts; the caller is wrong, and trying again is of no use.
	ErrInvalid = errors.New("invalid for a store")
)

// Store keeps objects. All methods may be called at the same time from any goroutine. They return when their context
// ends, with an error that wraps the context's. An error tells what was tried on which container and object.
//
// Reading what was just written is not promised: a listing may be late, and so may a reader that goes through another
// server. What is promised is that an object is whole or absent, never a part.
type Store interface {
	// CreateContainer makes a container; one that exists already is kept with its objects, and its access set. Objects of a
	// public container can be listed and read by anybody, those of another one by the account and by readers: users of the
	// store's whom nobody has to know yet. ErrInvalid for readers of a public one, and for what is no user's name.
	CreateContainer(ctx context.Context, name string, public bool, readers ...string) error

	// Put stores an object, in place of one of that name. The body is read from its current position: exactly size
	// bytes, otherwise nothing is stored and the error wraps ErrInvalid. It may be read several times (it is
	// sought back), never after Put has returned, and it is not closed. When Put returns nil, the store has
	// confirmed the length and the checksum of the body. Size in properties is ignored. ErrNotFound when there
	// is no such container.
	Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, properties Properties) error

	// Get opens an object. The caller closes the body, and reads it under the same context. The body is as it was
	// stored: a content encoding is told, not undone. A connection that breaks is an error of Read, not an early end.
	Get(ctx context.Context, container, object string) (io.ReadCloser, Properties, error)

	// Delete removes an object. One that is not there, or whose container is not, is no error: it is gone. A listing may
	// show it for a while.
	Delete(ctx context.Context, container, object string) error

	// List returns one page of a container's listing, in ascending byte order of names; fewer entries than asked for
	// do not mean the end, only an empty page does. See Walk for all of them. ErrNotFound when there is no such container.
	List(ctx context.Context, container string, query Query) ([]Entry, error)

	// Containers returns the names of all containers, ascending. ErrDenied where the store does not tell everybody.
	Containers(ctx context.Context) ([]string, error)
}

// Properties is what a store keeps about an object beside its content.
type Properties struct {
	ContentType     string // empty when putting: the store's default
	ContentEncoding string
	Size            int64 // in bytes; -1 if the store does not tell. Filled by Get, ignored by Put.
}

// Query selects from a listing.
type Query struct {
	Prefix    string // only names that begin with it
	Delimiter string // one character: names that have it after the prefix are listed once, up to it, as a subdirectory
	Marker    string // only names greater than it: the last entry of the page before
	Limit     int    // at most so many entries; 0 for the store's own limit
}

// Entry is a line of a listing: an object, or a subdirectory that stands for all names which begin with it.
type Entry struct {
	Name         string
	Subdirectory bool
	Size         int64     // of an object
	Modified     time.Time // of an object: by the store's clock, as precise as it tells
}
