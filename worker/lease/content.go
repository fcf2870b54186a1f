package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Container holds the leases.
const Container = "autopkgtest-leases"

// Content is what lies in the store, and what operators see there.
type Content struct {
	Worker  string    `json:"worker"`
	Handle  string    `json:"handle"`          // of the life that has it
	Lives   []string  `json:"lives,omitempty"` // handles of those that had it before, the oldest first
	Queue   string    `json:"queue"`
	Package string    `json:"package"`
	Since   time.Time `json:"since"`
	Beat    int       `json:"beat"`

	// Waiting: its life has not begun, and waits for other lives' leases. Such a lease is nobody's to take over.
	Waiting  bool `json:"waiting,omitempty"`
	Claiming bool `json:"claiming,omitempty"` // while waiting: it is about to begin

	Ended     bool   `json:"ended,omitempty"`     // its life is over, and its message was not settled
	Published string `json:"published,omitempty"` // run id of the result, once that is known to be in order

	// Silent: it was taken over from a life that only looked dead, which may still come back.
	Silent bool `json:"silent,omitempty"`

	// Doubtful: its life may have settled the message just before it died. Another lease is taken first.
	Doubtful bool `json:"doubtful,omitempty"`
}

// attributes say in a log which request the lease is of.
func (c Content) attributes() []any {
	q, _ := request.ParseQueue(c.Queue) // the zero value only if somebody else has written there
	return []any{"release", q.Release, "arch", q.Architecture, "package", c.Package, "run", c.Handle}
}

// Handles are all lives whose results belong to the lease's request.
func (c Content) Handles() []string { return append(slices.Clone(c.Lives), c.Handle) }

// succeeded is the content when another life takes the lease over.
func (c Content) succeeded(by Content) Content {
	by.Lives = slices.DeleteFunc(c.Handles(), func(handle string) bool { return handle == by.Handle })
	by.Lives = by.Lives[max(0, len(by.Lives)-mostLives):]
	by.Waiting, by.Claiming, by.Ended, by.Published, by.Doubtful = false, false, false, c.Published, false
	return by
}

// mostLives bounds the memory of a lease. A request that kills its workers would fill it for ever.
const mostLives = 50

// equal reports whether nobody has written the lease since.
func (c Content) equal(other Content) bool {
	return c.Worker == other.Worker && c.Handle == other.Handle && c.Beat == other.Beat && c.Ended == other.Ended &&
		c.Waiting == other.Waiting && c.Claiming == other.Claiming
}

const (
	putLimit = 20 * time.Second // a write that is under way for longer could end when the lease looks dead
	getLimit = 30 * time.Second
	maxSize  = 64 << 10 // far above any lease of ours
)

func put(ctx context.Context, s store.Store, object string, content Content) error {
	ctx, cancel := context.WithTimeoutCause(ctx, putLimit, errors.New("no answer in time"))
	defer cancel()
	encoded, err := json.Marshal(content)
	if err != nil {
		return err
	}
	write := func() error {
		return s.Put(ctx, Container, object, bytes.NewReader(encoded), int64(len(encoded)),
			store.Properties{ContentType: "application/json"})
	}
	if err = write(); errors.Is(err, store.ErrNotFound) {
		if err = s.CreateContainer(ctx, Container, false); err == nil {
			err = write()
		}
	}
	if err != nil {
		return fmt.Errorf("write the lease of a request: %w", err)
	}
	return nil
}

func remove(ctx context.Context, s store.Store, object string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, getLimit, errors.New("no answer in time"))
	defer cancel()
	if err := s.Delete(ctx, Container, object); err != nil {
		return fmt.Errorf("remove the lease of a request: %w", err)
	}
	return nil
}

// get reads a lease. It fails with store.ErrNotFound when there is none.
func get(ctx context.Context, s store.Store, object string) (Content, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, getLimit, errors.New("no answer in time"))
	defer cancel()
	body, _, err := s.Get(ctx, Container, object)
	if err != nil {
		return Content{}, fmt.Errorf("read the lease of a request: %w", err)
	}
	defer func() { _ = body.Close() }()
	encoded, err := io.ReadAll(io.LimitReader(body, maxSize))
	if err != nil {
		return Content{}, fmt.Errorf("read the lease of a request: %w", err)
	}
	var content Content
	_ = json.Unmarshal(encoded, &content) // one that is damaged never beats
	return content, nil
}
