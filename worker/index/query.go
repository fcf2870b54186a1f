package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// ErrUnknown says that the index has no such run.
var ErrUnknown = errors.New("no such run in the index")

// fields are what every query for runs selects, in the order of scanRun; table r has the columns of result.
const fields = "r.run_id, r.version, r.triggers, r.duration, r.exitcode, r.requester, r.env"

// distributionRuns begins a query for the runs of the distribution's own containers.
const distributionRuns = "SELECT t.release, t.arch, t.package, " + fields + " FROM result r JOIN test t ON t.id = r.test_id "

func scanRun(rows *sql.Rows) (Run, error) {
	var run Run
	var id, triggers string
	var seconds int64
	err := rows.Scan(&run.Release, &run.Architecture, &run.Package,
		&id, &run.Version, &triggers, &seconds, &run.ExitCode, &run.Requester, &run.Env)
	run.RunID = result.RunID(id)
	run.Container = result.Container(run.Release, nil, false)
	run.Triggers = strings.Fields(triggers)
	run.Duration = time.Duration(seconds) * time.Second
	return run, err
}

// collect runs a query and scans all of its rows.
func collect[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	for item, err := range each(ctx, db, scan, query, args...) {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// each runs a query and yields its rows one by one. An error ends it.
func each[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			yield(none, fmt.Errorf("query the index: %w", err))
			return
		}
		defer func() { _ = rows.Close() }() // its error is also Err's
		for rows.Next() {
			item, err := scan(rows)
			if err != nil {
				yield(none, fmt.Errorf("read a row of the index: %w", err))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, fmt.Errorf("read the index: %w", err))
		}
	}
}

// one expects exactly one run.
func one(runs []Run, err error) (Run, error) {
	if err == nil && len(runs) == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Run{}, err
	}
	return runs[0], nil
}

// Run finds one run by its place, or answers ErrUnknown.
func (x *Index) Run(ctx context.Context, loc result.Location) (Run, error) {
	var run Run
	var err error
	if distribution(loc) {
		run, err = one(collect(ctx, x.read, scanRun, distributionRuns+
			"WHERE t.package = ? AND t.release = ? AND t.arch = ? AND r.run_id = ?",
			loc.Package, loc.Release, loc.Architecture, string(loc.RunID)))
	} else {
		run, err = one(collect(ctx, x.read, scanRun, "SELECT r.release, r.arch, r.package, "+fields+
			" FROM other_result r WHERE r.container = ? AND r.release = ? AND r.arch = ? AND r.package = ? AND r.run_id = ?",
			loc.Container, loc.Release, loc.Architecture, loc.Package, string(loc.RunID)))
		run.Container = loc.Container
	}
	if err != nil {
		return Run{}, fmt.Errorf("%s/%s: %w", loc.Container, loc.Dir(), err)
	}
	return run, nil
}

// Filter chooses runs of the distribution's containers. Empty fields choose all.
type Filter struct {
	Release      string
	Architecture string
	Package      string
	Before       result.RunID // only runs with a smaller id: the next page
	Limit        int
}

func (f Filter) chooses(loc result.Location) bool {
	return (f.Release == "" || f.Release == loc.Release) &&
		(f.Architecture == "" || f.Architecture == loc.Architecture) &&
		(f.Package == "" || f.Package == loc.Package) &&
		(f.Before == "" || loc.RunID < f.Before)
}

// Runs lists the runs that the filter chooses, newest first.
func (x *Index) Runs(ctx context.Context, filter Filter) ([]Run, error) {
	var words []string
	var args []any
	restrict := func(word string, value string) {
		if value != "" {
			words = append(words, word)
			args = append(args, value)
		}
	}
	restrict("t.package = ?", filter.Package)
	restrict("t.release = ?", filter.Release)
	restrict("t.arch = ?", filter.Architecture)
	restrict("r.run_id < ?", string(filter.Before))
	query := distributionRuns
	if len(words) > 0 {
		query += "WHERE " + strings.Join(words, " AND ") + " "
	}
	query += "ORDER BY r.run_id DESC LIMIT ?"
	return collect(ctx, x.read, scanRun, query, append(args, filter.Limit)...)
}

// ByRequest lists the runs that a request with this id of its requester's led to, wherever they are, as far as the filter
// chooses them. Usually it is one.
func (x *Index) ByRequest(ctx context.Context, id string, filter Filter) ([]Run, error) {
	locations, err := collect(ctx, x.read, scanLocation, "SELECT container, release, arch, package, run_id FROM request_run"+
		" WHERE request_id = ? ORDER BY run_id DESC", id)
	if err != nil {
		return nil, err
	}
	var runs []Run
	for _, loc := range locations {
		if !filter.chooses(loc) || len(runs) >= filter.Limit {
			continue
		}
		run, err := x.Run(ctx, loc)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func scanLocation(rows *sql.Rows) (result.Location, error) {
	var loc result.Location
	var id string
	err := rows.Scan(&loc.Container, &loc.Release, &loc.Architecture, &loc.Package, &id)
	loc.RunID = result.RunID(id)
	return loc, err
}
