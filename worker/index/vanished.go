package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Results go from the store: a worker that has stored one anew above another removes it from the lower run id, and people remove
// some. What the index has of them goes when two complete passes in a row have not listed them, and the store, asked for the
// result itself, has said both times that it is not there. A listing that failed, that was late or that has nothing in it proves
// nothing, and neither does a store that does not answer.

// absence collects, during a pass through one container, what the index has and the listing has not.
type absence struct {
	packages   []uint64 // hashes of the packages' folders that were listed: two hundred thousand are 2 MB
	candidates []result.Location
	most       int
}

func hashOf(folder string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(folder)) // never fails
	return hash.Sum64()
}

// add notes what was not listed of a package whose part of the listing is over.
func (a *absence) add(k *knownRuns) {
	if k.runs == nil {
		return
	}
	a.packages = append(a.packages, hashOf(k.of.Dir()))
	a.doubt(k)
}

// doubt makes candidates of what was not listed of a package, as long as there are not too many.
func (a *absence) doubt(k *knownRuns) {
	for _, id := range k.unlisted() {
		if len(a.candidates) >= a.most {
			return
		}
		loc := k.of
		loc.RunID = id
		a.candidates = append(a.candidates, loc)
	}
}

// addPackages notes what is known of packages that were not listed at all.
func (a *absence) addPackages(ctx context.Context, x *Index, c container) error {
	slices.Sort(a.packages)
	for of, err := range x.packagesOf(ctx, c) {
		if err != nil {
			return err
		}
		if len(a.candidates) >= a.most {
			return nil
		}
		if _, listed := slices.BinarySearch(a.packages, hashOf(of.Dir())); listed {
			continue
		}
		var known knownRuns
		if err := known.load(ctx, x, of); err != nil {
			return err
		}
		a.doubt(&known)
	}
	return nil
}

// unlisted are the runs, with or without a result, that skip was not asked about; ascending.
func (k *knownRuns) unlisted() (ids []result.RunID) {
	for id := range k.runs {
		if _, seen := k.listed[id]; !seen {
			ids = append(ids, id)
		}
	}
	for id := range k.next {
		if _, seen := k.listed[id]; !seen && !k.runs[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// packagesOf lists the packages that the index has something of in a container, as places without run ids.
func (x *Index) packagesOf(ctx context.Context, c container) iter.Seq2[result.Location, error] {
	scan := func(rows *sql.Rows) (result.Location, error) {
		loc := result.Location{Container: c.name, Release: c.release}
		err := rows.Scan(&loc.Architecture, &loc.Package)
		return loc, err
	}
	if c.name == result.Container(c.release, nil, false) {
		return each(ctx, x.read, scan, "SELECT arch, package FROM test WHERE release = ?", c.release)
	}
	return each(ctx, x.read, scan, "SELECT DISTINCT arch, package FROM other_result WHERE container = ? AND release = ?",
		c.name, c.release)
}

// settleAbsence asks the store for what a complete listing of a container did not have, and removes what was missed by the pass
// before as well.
func (l *Lister) settleAbsence(ctx context.Context, c container, a *absence) (removed int, err error) {
	missed := map[result.Location]bool{}
	for _, loc := range a.candidates {
		gone, err := l.isGone(ctx, loc)
		if err != nil {
			return removed, err
		}
		switch {
		case !gone:
		case !l.missed[c.name][loc]:
			missed[loc] = true
		default:
			if err := l.Index.forget(ctx, loc); err != nil {
				return removed, err
			}
			removed++
			l.Log.Info("a result is gone from the store, and so from the index", "release", loc.Release, "arch", loc.Architecture,
				"package", loc.Package, "run", string(loc.RunID), "container", loc.Container)
		}
	}
	l.missed[c.name] = missed
	return removed, nil
}

// isGone asks for the result itself. A store that does not say leaves it where it is.
func (l *Lister) isGone(ctx context.Context, loc result.Location) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	body, _, err := l.Store.Get(ctx, loc.Container, loc.Object(result.TarObject))
	switch {
	case err == nil:
		return false, body.Close()
	case errors.Is(err, store.ErrNotFound):
		return true, nil
	case errors.Is(err, store.ErrDenied):
		return false, nil
	}
	return false, fmt.Errorf("ask for a result that is not listed: %w", err)
}

// forget removes all that the index has of a run.
func (x *Index) forget(ctx context.Context, loc result.Location) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("remove the row of %s/%s: %w", loc.Container, loc.Dir(), err)
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	run := []any{loc.Container, loc.Release, loc.Architecture, loc.Package, string(loc.RunID)}
	const where = " WHERE container = ? AND release = ? AND arch = ? AND package = ? AND run_id = ?"
	type statement struct {
		text string
		args []any
	}
	statements := []statement{
		{"DELETE FROM request_run" + where, run},
		{"DELETE FROM problem WHERE container = ? AND dir = ?", []any{loc.Container, loc.Dir()}},
	}
	if distribution(loc) {
		test := []any{loc.Package, loc.Release, loc.Architecture}
		statements = append(statements,
			statement{"DELETE FROM result WHERE run_id = ? AND test_id = " +
				"(SELECT id FROM test WHERE package = ? AND release = ? AND arch = ?)", append([]any{string(loc.RunID)}, test...)},
			// A package without results is none.
			statement{"DELETE FROM test WHERE package = ? AND release = ? AND arch = ? AND NOT EXISTS " +
				"(SELECT 1 FROM result WHERE test_id = id)", test})
	} else {
		statements = append(statements, statement{"DELETE FROM other_result" + where, run})
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.text, s.args...); err != nil {
			return fmt.Errorf("remove the row of %s/%s: %w", loc.Container, loc.Dir(), err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("remove the row of %s/%s: %w", loc.Container, loc.Dir(), err)
	}
	return nil
}
