package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Lister finds results by listing the store, and so makes the index complete whatever became of the completion
// messages. With an empty index it is what rebuilds it. An interrupted pass loses nothing: the next one reads only
// the results that are not in the index yet.
type Lister struct {
	Index    *Index
	Store    store.Store
	Releases []string
	Every    time.Duration // from the end of a pass to the start of the next
	Retry    time.Duration // the same after a pass that failed
	Parallel int           // how many results are fetched at the same time
	Log      *slog.Logger

	// MostVanished bounds how many results that a listing no longer has are asked for in a pass through one container. The next
	// pass goes on.
	MostVanished int

	mu    sync.Mutex
	state State
	found atomic.Int64
	poke  chan struct{}

	missed map[string]map[result.Location]bool // by container: what the last complete pass did not find; of Pass alone
}

// NewLister returns a lister with the usual pace.
func NewLister(x *Index, st store.Store, releases []string, log *slog.Logger) *Lister {
	return &Lister{
		Index: x, Store: st, Releases: releases, Log: log,
		Every: 3 * time.Minute, Retry: 10 * time.Second, Parallel: 8, MostVanished: 1000,
		poke: make(chan struct{}, 1), missed: map[string]map[result.Location]bool{},
	}
}

// State is what is known of the passes so far.
type State struct {
	Passes   int       // complete ones
	Finished time.Time // the last complete one
	Running  bool
	Found    int64 // runs that the pass under way, or the last, brought into the index
	Err      error // why the last one failed; nil when it did not
}

// State tells how the listing goes.
func (l *Lister) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.state
	state.Found = l.found.Load()
	return state
}

// Poke makes Run begin its next pass at once: something is known to be missing.
func (l *Lister) Poke() {
	select {
	case l.poke <- struct{}{}:
	default: // it will come anyway
	}
}

// Run lists again and again until the context ends.
func (l *Lister) Run(ctx context.Context) {
	for {
		pause, poke := l.Every, l.poke
		if report, err := l.Pass(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("listing the store failed, will try again", "error", err, "after", l.Retry.String())
			pause, poke = l.Retry, nil // not at once: the store needs the pause
		} else if report.Added+report.Problems+report.Removed > 0 {
			l.Log.Info("results found by listing the store", "added", report.Added, "problems", report.Problems,
				"removed", report.Removed)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-poke:
			timer.Stop()
		}
	}
}

// Report is what a pass found.
type Report struct {
	Listed   int // run directories in the store
	Added    int // rows written
	Problems int // directories that could not be indexed
	Removed  int // what the index had and the store has no longer
}

// Pass lists every container once and indexes what is new. It fails when the store cannot be read, and not because of
// single results. One pass goes on at a time.
func (l *Lister) Pass(ctx context.Context) (Report, error) {
	l.mu.Lock()
	l.state.Running = true
	l.mu.Unlock()
	l.found.Store(0)

	report, err := l.pass(ctx)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Running, l.state.Err = false, err
	if err == nil {
		l.state.Passes++
		l.state.Finished = l.Index.now()
	}
	return report, err
}

func (l *Lister) pass(ctx context.Context) (Report, error) {
	containers, err := l.containers(ctx)
	if err != nil {
		return Report{}, err
	}
	var total Report
	var failures []error
	for _, c := range containers {
		report, err := l.container(ctx, c)
		total.Listed += report.Listed
		total.Added += report.Added
		total.Problems += report.Problems
		total.Removed += report.Removed
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDenied) {
			// Not made yet, or none of ours to read: an anonymous reader is told either.
			l.Log.Debug("no such container", "container", c.name, "error", err)
			continue
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("list container %s: %w", c.name, err))
		}
	}
	return total, errors.Join(failures...)
}

type container struct{ name, release string }

// containers are the releases' own, those with PPAs from which there are results, and, for a reader who may list the
// account, all others with PPAs.
func (l *Lister) containers(ctx context.Context) ([]container, error) {
	names, err := l.Store.Containers(ctx)
	if err != nil && !errors.Is(err, store.ErrDenied) && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	known, err := l.Index.otherContainers(ctx)
	if err != nil {
		return nil, err
	}
	var own, others []container
	for _, release := range l.Releases {
		own = append(own, container{result.Container(release, nil, false), release})
	}
	for _, name := range append(names, known...) {
		if release, ok := ReleaseOf(name, l.Releases); ok {
			others = append(others, container{name, release})
		}
	}
	slices.SortFunc(others, func(a, b container) int { return strings.Compare(a.name, b.name) })
	all := append(own, others...)
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c container) bool {
		twice := seen[c.name]
		seen[c.name] = true
		return twice
	}), nil
}

// ReleaseOf tells which of the releases a public container belongs to, by its name: autopkgtest-RELEASE, or with
// -USER-PPA after it.
func ReleaseOf(name string, releases []string) (release string, ok bool) {
	for _, release := range releases {
		own := result.Container(release, nil, false)
		if rest, found := strings.CutPrefix(name, own); found && (rest == "" || strings.HasPrefix(rest, "-")) {
			return release, true
		}
	}
	return "", false
}

// container indexes what is new in one container, and removes what is gone from it. It holds the run ids of one package at a time.
func (l *Lister) container(ctx context.Context, c container) (Report, error) {
	var added, problems atomic.Int64
	var report Report
	group, fetchCtx := errgroup.WithContext(ctx)
	group.SetLimit(l.Parallel)
	var known knownRuns
	absent := absence{most: l.MostVanished}
	err := func() error {
		for entry, err := range store.Walk(fetchCtx, l.Store, c.name, c.release+"/", "@", "") {
			if err != nil {
				return err
			}
			loc, ok := parseEntry(entry, c)
			if !ok {
				continue
			}
			report.Listed++
			if !known.has(loc) {
				absent.add(&known)
				if err := known.load(fetchCtx, l.Index, loc); err != nil {
					return err
				}
			}
			if known.skip(loc, l.Index.now()) {
				continue
			}
			group.Go(func() error { return l.index(fetchCtx, loc, &added, &problems) })
		}
		return nil
	}()
	// A fetch that failed ends the walk too, and is then the better explanation.
	if failed := group.Wait(); failed != nil {
		err = failed
	}
	report.Added, report.Problems = int(added.Load()), int(problems.Load())
	if err != nil || report.Listed == 0 {
		return report, err
	}
	absent.add(&known)
	if err := absent.addPackages(ctx, l.Index, c); err != nil {
		return report, err
	}
	report.Removed, err = l.settleAbsence(ctx, c, &absent)
	return report, err
}

func parseEntry(entry store.Entry, c container) (result.Location, bool) {
	if !entry.Subdirectory {
		return result.Location{}, false
	}
	loc, err := result.ParseDir(entry.Name)
	if err != nil || loc.Release != c.release || loc.Dir() != entry.Name {
		return result.Location{}, false
	}
	loc.Container = c.name
	return loc, true
}

// index brings in one run. Only what is at fault outside of that run is an error.
func (l *Lister) index(ctx context.Context, loc result.Location, added, problems *atomic.Int64) error {
	isNew, err := l.Index.Ingest(ctx, l.Store, loc)
	switch {
	case err == nil:
		if isNew {
			added.Add(1)
			l.found.Add(1)
		}
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, result.ErrDamaged):
		problems.Add(1)
		l.Log.Warn("this result cannot be indexed", "release", loc.Release, "arch", loc.Architecture,
			"package", loc.Package, "run", string(loc.RunID), "error", err)
		return nil
	case errors.Is(err, store.ErrNotFound):
		problems.Add(1)
		return l.Index.note(ctx, loc, err)
	}
	return err
}
