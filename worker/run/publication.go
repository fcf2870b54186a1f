package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// publication is how far a parcel has come on its way to the readers, kept over tries.
type publication struct {
	handle  string // of the life
	at      result.Location
	listed  time.Time     // when the greatest run id was last looked for
	glimpse *glimpse      // a look that was taken before; nil for none
	sent    time.Time     // when result.tar was first sent there; zero before
	took    time.Duration // until the store had confirmed it; zero before
	crowded bool          // then, somebody else might have taken the same run id
	old     []result.RunID
	late    bool // it was listed some time after that, so what is above it may have been listed first
	seen    bool // a result.tar of ours has been readable there
	settled bool // it is above all that was readable before, and alone
	moved   int  // how often it went above what may have been readable before
}

// unseenPut is how long an upload is assumed to have taken whose end nobody has seen.
const unseenPut = tarLimit

// resume goes on with what a worker before this one has tried: the last of the run ids may be readable, those before it may
// not have been removed.
func (p *publication) resume(at result.Location, tried []result.RunID, settled bool) {
	p.at = at
	if len(tried) == 0 {
		return
	}
	p.at.RunID, p.old = tried[len(tried)-1], tried[:len(tried)-1]
	p.sent, p.seen, p.settled, p.late = time.Now().Add(-unseenPut), settled, settled, !settled
}

// leave gives the run id up; what lies there is removed in the end.
func (p *publication) leave() {
	if p.at.RunID != "" {
		p.old = append(p.old, p.at.RunID)
	}
	p.yield()
}

// yield leaves the run id to somebody else who has it, with all that lies there.
func (p *publication) yield() { p.at.RunID, p.sent, p.took, p.late = "", time.Time{}, 0, false }

// visible reports whether our result.tar is readable under the run id.
func (p *publication) visible(ctx context.Context, s store.Store) (bool, error) {
	if p.sent.IsZero() || p.took > 0 {
		return p.took > 0, nil
	}
	switch owner, there, err := p.owner(ctx, s); {
	case err != nil || !there:
		return false, err
	case owner != p.handle:
		p.yield()
		return false, nil
	}
	p.took = max(time.Since(p.sent), 1)
	return true, nil
}

// owner tells which life made the result under the run id, if there is one.
func (p *publication) owner(ctx context.Context, s store.Store) (handle string, there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	stored, err := fetch(ctx, s, p.at)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	if err != nil && !errors.Is(err, result.ErrDamaged) {
		return "", false, err
	}
	return stored.Handle, true, nil
}

// solePause is how long somebody who took the same run id may be under way with his result.tar, after having seen none.
const solePause = 2 * time.Second

// sole reports whether the run id is ours alone. Of two that took it in the same second, the last one has overwritten the
// result of the other, who takes another id.
func (p *publication) sole(ctx context.Context, s store.Store) (bool, error) {
	if !p.crowded || p.seen {
		return true, nil
	}
	if !sleep(ctx, solePause) {
		return false, context.Cause(ctx)
	}
	owner, there, err := p.owner(ctx, s)
	if err != nil {
		return false, err
	}
	if !there || owner != p.handle {
		p.yield()
		return false, nil
	}
	return true, nil
}

// errUnlisted: the store has taken the result, and readers cannot find it yet.
var errUnlisted = errors.New("the store has taken the result, and does not list it yet")

// A store that lists late is asked often, by somebody who lets no other result of the package go ahead: who looks only now and then
// cannot tell whether what is above was listed first, and would go above it, and so would the other one, for ever.
const (
	unlistedPatience = time.Minute
	unlistedPause    = time.Second
)

// passedOnceListed is passed, for a moment after the store has taken the result and before it lists it, too.
func (p *publication) passedOnceListed(ctx context.Context, s store.Store) (bool, error) {
	for began := time.Now(); ; {
		passed, err := p.passed(ctx, s)
		if !errors.Is(err, errUnlisted) || time.Since(began) > unlistedPatience {
			return passed, err
		}
		if !sleep(ctx, unlistedPause) {
			return false, context.Cause(ctx)
		}
	}
}

// listedAtOnce is how long after a store has confirmed an upload its listing has to have been asked for what it shows to count
// as what it showed at once.
const listedAtOnce = time.Second

// passed reports whether a greater run id of the package may have been listed before ours was. Then the gatekeeper, which asks
// for what is greater than the greatest that it has seen, never reads ours. It is errUnlisted while nobody can tell.
func (p *publication) passed(ctx context.Context, s store.Store) (bool, error) {
	began := time.Now()
	ours, theirs, err := p.readable(ctx, s)
	switch {
	case err != nil:
		return false, err
	case ours.IsZero():
		p.late = true
		if len(theirs) == 0 {
			return false, errUnlisted
		}
		return true, nil
	case !p.sent.IsZero() && began.Sub(p.sent) > p.took+listedAtOnce:
		p.late = true // nobody has seen when it was
	}
	// The store notes down when an upload began. Theirs was readable at that time at the earliest, ours at the end of its upload
	// at the latest, if it was listed then.
	return slices.ContainsFunc(theirs, func(t time.Time) bool { return p.late || !t.After(ours.Add(p.took)) }), nil
}

// readablePage is for how many objects readable asks at a time: more than a result has, so that one answer tells all.
const readablePage = 100

// readable lists result.tar under the run id, and under the greater ones of its package. The times are when they were put, by the
// store's clock; zero for one that is not listed.
func (p *publication) readable(ctx context.Context, s store.Store) (ours time.Time, theirs []time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	prefix := result.PackagePrefix(p.at.Release, p.at.Architecture, p.at.Package)
	query := store.Query{Prefix: prefix, Marker: prefix + string(p.at.RunID), Limit: readablePage}
	for {
		page, err := s.List(ctx, p.at.Container, query)
		if err != nil {
			return time.Time{}, nil, err
		}
		for _, entry := range page {
			folder, isTar := strings.CutSuffix(strings.TrimPrefix(entry.Name, prefix), "/"+result.TarObject)
			switch id := result.RunID(folder); {
			case !isTar || !id.Valid():
			case id == p.at.RunID:
				ours = entry.Modified
			default:
				theirs = append(theirs, entry.Modified)
			}
		}
		if len(page) < query.Limit {
			return ours, theirs, nil
		}
		query.Marker = page[len(page)-1].Name
	}
}

// clear removes what lies under run ids that were given up: result.tar first, so that no reader finds a result without
// its log.
func (p *publication) clear(ctx context.Context, s store.Store) error {
	for len(p.old) > 0 {
		at := p.at
		at.RunID = p.old[0]
		if err := p.remove(ctx, s, at); err != nil {
			return fmt.Errorf("remove what was stored below a greater run id: %w", err)
		}
		p.old = slices.DeleteFunc(p.old, func(id result.RunID) bool { return id == at.RunID })
	}
	return nil
}

func (p *publication) remove(ctx context.Context, s store.Store, at result.Location) error {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	before := publication{at: at}
	if owner, there, err := before.owner(ctx, s); err != nil || there && owner != p.handle {
		return err // somebody else's
	}
	names := []string{at.Object(result.TarObject)}
	for entry, err := range store.Walk(ctx, s, at.Container, at.Dir()+"/", "", "") {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(entry.Name, "/"+result.TarObject) {
			names = append(names, entry.Name)
		}
	}
	for _, name := range names {
		if err := s.Delete(ctx, at.Container, name); err != nil {
			return err
		}
	}
	return nil
}
