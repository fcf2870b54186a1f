package run

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// leaseContainer holds one object for each life of a request, IDENTITY/HANDLE, from its beginning until its message is
// settled. Other workers learn two things from it when the broker gives them a request which it had given to somebody else
// before. While the lease lives, the request is being worked on. And whether a result, which names its life, belongs to a
// message that is not settled yet, or to another request with the same bytes: of a settled one there is no lease any more.
const leaseContainer = "autopkgtest-leases"

// How a lease shows that its worker lives. The clocks of two machines are never compared: a reader watches the beat and
// takes the time himself.
const (
	beatInterval = 20 * time.Second
	leaseLife    = 60 * time.Second // without a change of the beat
)

// leaseContent is what lies in the store, and what operators see there.
type leaseContent struct {
	Worker  string    `json:"worker"`
	Handle  string    `json:"handle"`
	Queue   string    `json:"queue"`
	Package string    `json:"package"`
	Since   time.Time `json:"since"`
	Beat    int       `json:"beat"`
	Waiting bool      `json:"waiting,omitempty"` // for another's lease; nothing is done yet
	Ended   bool      `json:"ended,omitempty"`   // its life is over, and its message was not settled
}

// fate is what becomes of a lease when its life ends.
type fate int

const (
	leaseDropped   fate = iota // nothing was published: it goes
	leaseSettled               // the message is acknowledged: it goes, and what it stood in for
	leaseUnsettled             // a result was published, but its message is somebody else's now, who has to find it
	leaseKept                  // the next start of the worker goes on with it
)

// lease is the one of a life. Its goroutine, keep, writes it again and again; nobody waits for that, but for ensure.
type lease struct {
	store  store.Store
	log    *slog.Logger
	record string // file that names the object, for the next start of the worker

	writing chan struct{} // holds a token while free: who writes or deletes

	mu      sync.Mutex
	content leaseContent
	object  string    // its name: our own, or the one that was taken over
	own     string    // the name of our own
	beside  []string  // names of what goes with it when the message is settled
	last    time.Time // when it was written, zero before
	waited  bool      // what was written says that nothing is done yet
	resumed bool      // false: the worker before this one wrote it, and who has it now is not known yet
	lost    bool      // somebody took it for dead, and took it over or removed it

	quit chan struct{}
	once sync.Once
	fate fate
}

func (id identity) hex() string { return hex.EncodeToString(id[:]) }

func (l *life) newLease() *lease {
	name := l.entry.identity.hex() + "/" + l.id
	pkg, _, _ := bytes.Cut(l.delivery.Body, []byte("\n"))
	k := &lease{
		store: l.worker.store, log: l.log, record: l.state.leaseRecord(l.id), object: name, own: name,
		content: leaseContent{Worker: l.state.worker, Handle: l.id, Queue: l.delivery.Queue.Name(), Package: head(pkg),
			Since: l.began.UTC()},
		resumed: true, writing: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	k.writing <- struct{}{}
	return k
}

// keep writes the lease until its life has ended, and then does what its fate is. The context bounds all of that.
func (k *lease) keep(ctx context.Context) {
	k.remember()
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for {
		if err := k.write(ctx); err != nil {
			k.log.Debug("the lease of the request was not written", "error", err)
		}
		select {
		case <-ticker.C:
		case <-k.quit:
			k.farewell(ctx)
			return
		case <-ctx.Done():
			return
		}
	}
}

// end tells the keeper what becomes of the lease. The first word counts.
func (k *lease) end(f fate) {
	k.once.Do(func() {
		k.fate = f
		close(k.quit)
	})
}

// change changes what the next beat says.
func (k *lease) change(f func(*leaseContent)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.content)
}

// ensure returns when the lease is in the store: a result that names a life without a lease would be taken for that of
// another request. Once such a result is readable, a lease that was lost stays lost: somebody else answers for the result.
func (k *lease) ensure(ctx context.Context, readable bool) error {
	k.mu.Lock()
	if k.lost && !readable {
		k.lost, k.last = false, time.Time{}
	}
	// A lease that says that nothing is done is removed with its worker; see endLease.
	written := !k.last.IsZero() && (!k.waited || k.content.Waiting)
	k.mu.Unlock()
	if written {
		return nil
	}
	return k.write(ctx)
}

// write is a beat.
func (k *lease) write(ctx context.Context) error {
	release, err := k.occupy(ctx)
	if err != nil {
		return err
	}
	defer release()
	if beating, err := k.check(ctx); err != nil || !beating {
		return err
	}
	k.mu.Lock()
	k.content.Beat++
	content, object := k.content, k.object
	k.mu.Unlock()
	if err := putLease(ctx, k.store, object, content); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.waited = time.Now(), content.Waiting
	return nil
}

// check sees whether a lease that may have looked dead is still ours.
func (k *lease) check(ctx context.Context) (beating bool, err error) {
	k.mu.Lock()
	object, handle := k.object, k.content.Handle
	sure := !k.last.IsZero() && time.Since(k.last) < leaseLife-beatInterval || k.last.IsZero() && k.resumed
	lost := k.lost || !k.resumed
	k.mu.Unlock()
	if lost || sure {
		return !lost, nil
	}
	return k.isOurs(ctx, object, handle)
}

func (k *lease) isOurs(ctx context.Context, object, handle string) (bool, error) {
	now, err := getLease(ctx, k.store, object)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = err != nil || now.Handle != handle
	return !k.lost, nil
}

// resume takes up the lease of a result from the spool: beats begin when it is known that nobody else has it.
func (k *lease) resume(ctx context.Context) error {
	k.mu.Lock()
	resumed, object, handle := k.resumed, k.object, k.content.Handle
	k.mu.Unlock()
	if resumed {
		return nil
	}
	if _, err := k.isOurs(ctx, object, handle); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resumed = true
	return nil
}

// isLost reports whether somebody else has the lease, or had it to its end.
func (k *lease) isLost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// occupy makes sure that writes and deletions come one after the other.
func (k *lease) occupy(ctx context.Context) (release func(), err error) {
	select {
	case <-k.writing:
		return func() { k.writing <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// farewellLimit is how long the end of a lease is tried for. One that stays behind looks dead to everybody in a minute, and
// is put right by the next start of the worker.
const farewellLimit = 10 * time.Minute

func (k *lease) farewell(ctx context.Context) {
	if k.fate == leaseKept {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	k.mu.Lock()
	gone := []string{k.own}
	if k.fate == leaseSettled {
		gone = append(gone, k.object)
	}
	gone = append(gone, k.beside...)
	switch {
	case k.lost:
		gone = nil // it is not ours to remove
		if k.fate == leaseSettled {
			gone = k.beside
		}
	case k.fate == leaseUnsettled:
		k.content.Ended = true
		gone = slices.DeleteFunc([]string{k.own}, func(name string) bool { return name == k.object })
	}
	k.mu.Unlock()
	for pause := firstPause; ; pause = min(2*pause, time.Minute) {
		err := k.part(ctx, gone)
		if err == nil {
			if err := os.Remove(k.record); err != nil && !errors.Is(err, os.ErrNotExist) {
				k.log.Warn("the record of a lease is left behind; the next start of the worker removes it", "error", err)
			}
			return
		}
		if !sleep(ctx, pause) {
			k.log.Warn("the lease of a request that is done is left behind; the next start of the worker puts it right", "error", err)
			return
		}
	}
}

func (k *lease) part(ctx context.Context, gone []string) error {
	if k.fate == leaseUnsettled {
		if err := k.write(ctx); err != nil {
			return err
		}
	}
	release, err := k.occupy(ctx)
	if err != nil {
		return err
	}
	defer release()
	slices.Sort(gone)
	for _, object := range slices.Compact(gone) {
		if err := deleteLease(ctx, k.store, object); err != nil {
			return err
		}
	}
	return nil
}

// remember notes the lease's name down where the next start of the worker finds it.
func (k *lease) remember() {
	k.mu.Lock()
	object := k.object
	k.mu.Unlock()
	if err := os.WriteFile(k.record, []byte(object+"\n"), 0o600); err != nil {
		k.log.Warn("the lease is not noted down: when this worker crashes, others wait a minute longer", "error", err)
	}
}

// leaseLimit bounds one call to the store for a lease.
const leaseLimit = 30 * time.Second

func putLease(ctx context.Context, s store.Store, object string, content leaseContent) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	encoded, err := json.Marshal(content)
	if err != nil {
		return err
	}
	put := func() error {
		return s.Put(ctx, leaseContainer, object, bytes.NewReader(encoded), int64(len(encoded)),
			store.Properties{ContentType: "application/json"})
	}
	if err = put(); errors.Is(err, store.ErrNotFound) {
		if err = s.CreateContainer(ctx, leaseContainer, false); err == nil {
			err = put()
		}
	}
	if err != nil {
		return fmt.Errorf("write the lease of a request: %w", err)
	}
	return nil
}

func deleteLease(ctx context.Context, s store.Store, object string) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	if err := s.Delete(ctx, leaseContainer, object); err != nil {
		return fmt.Errorf("remove the lease of a request: %w", err)
	}
	return nil
}

// getLease reads a lease. It fails with store.ErrNotFound when there is none.
func getLease(ctx context.Context, s store.Store, object string) (leaseContent, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	body, _, err := s.Get(ctx, leaseContainer, object)
	if err != nil {
		return leaseContent{}, fmt.Errorf("read the lease of a request: %w", err)
	}
	defer func() { _ = body.Close() }()
	encoded, err := io.ReadAll(io.LimitReader(body, maxLease))
	if err != nil {
		return leaseContent{}, fmt.Errorf("read the lease of a request: %w", err)
	}
	var content leaseContent
	_ = json.Unmarshal(encoded, &content) // one that is damaged never beats
	return content, nil
}

// maxLease is far above any lease of ours.
const maxLease = 64 << 10

func (s *state) leaseRecord(handle string) string { return filepath.Join(s.leases, handle) }
