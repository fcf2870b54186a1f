package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// fetchTimeout bounds the reading of one result.tar. They are small; the store's own retries fit in.
const fetchTimeout = 2 * time.Minute

// Ingest makes sure that the run at loc is in the index: if it is not, its result.tar is read from the store and a row
// written. added is false when it was there already. The errors that it answers differ in what helps:
//
//   - result.ErrDamaged: the result is there and cannot be believed; it was remembered, and trying again soon will not help
//   - store.ErrNotFound: there is no result.tar, which is uploaded last: it may appear later
//   - store.ErrUnavailable and others: the store or the disk is at fault, not the result
func (x *Index) Ingest(ctx context.Context, st store.Store, loc result.Location) (added bool, err error) {
	if known, err := x.has(ctx, loc); known || err != nil {
		return false, err
	}
	run, requestID, err := fetch(ctx, st, loc)
	if errors.Is(err, result.ErrDamaged) {
		err = errors.Join(err, x.note(ctx, loc, err))
	}
	if err != nil {
		return false, fmt.Errorf("index %s/%s: %w", loc.Container, loc.Dir(), err)
	}
	added, err = x.insert(ctx, run, requestID)
	if err != nil {
		return false, fmt.Errorf("write the row of %s/%s: %w", loc.Container, loc.Dir(), err)
	}
	return added, nil
}

// fetch reads a run from the store, with the id that its requester gave the request.
func fetch(ctx context.Context, st store.Store, loc result.Location) (Run, string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	body, _, err := st.Get(ctx, loc.Container, loc.Object(result.TarObject))
	if err != nil {
		return Run{}, "", err
	}
	defer func() { _ = body.Close() }() // read to the end or not, nothing depends on it any more
	res, err := result.ReadTar(body)
	if err != nil {
		return Run{}, "", err
	}
	return newRun(loc, res)
}

// insert writes the row of a run and what belongs to it in one transaction.
func (x *Index) insert(ctx context.Context, run Run, requestID string) (added bool, err error) {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	if distribution(run.Location) {
		added, err = insertResult(ctx, tx, run)
	} else {
		added, err = insertOther(ctx, tx, run)
	}
	if err != nil {
		return false, err
	}
	if requestID != "" {
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO request_run VALUES (?, ?, ?, ?, ?, ?)",
			requestID, run.Container, run.Release, run.Architecture, run.Package, string(run.RunID))
		if err != nil {
			return false, err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM problem WHERE container = ? AND dir = ?", run.Container, run.Dir()); err != nil {
		return false, err
	}
	return added, tx.Commit()
}

func insertResult(ctx context.Context, tx *sql.Tx, run Run) (bool, error) {
	_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO test(release, arch, package) VALUES (?, ?, ?)",
		run.Release, run.Architecture, run.Package)
	if err != nil {
		return false, err
	}
	return inserted(tx.ExecContext(ctx, `INSERT OR IGNORE INTO result
		SELECT id, ?, ?, ?, ?, ?, ?, ? FROM test WHERE package = ? AND release = ? AND arch = ?`,
		append(columns(run), run.Package, run.Release, run.Architecture)...))
}

func insertOther(ctx context.Context, tx *sql.Tx, run Run) (bool, error) {
	return inserted(tx.ExecContext(ctx, "INSERT OR IGNORE INTO other_result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		append([]any{run.Container, run.Release, run.Architecture, run.Package}, columns(run)...)...))
}

// columns are a run's values from run_id on, in the order of both tables.
func columns(run Run) []any {
	return []any{string(run.RunID), run.Version, strings.Join(run.Triggers, " "), int64(run.Duration / time.Second),
		run.ExitCode, run.Requester, run.Env}
}

func inserted(answer sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	rows, err := answer.RowsAffected()
	return rows > 0, err
}

// distribution tells whether a place is in a release's own container.
func distribution(loc result.Location) bool {
	return loc.Container == result.Container(loc.Release, nil, false)
}

// has tells whether a run is in the index.
func (x *Index) has(ctx context.Context, loc result.Location) (bool, error) {
	_, err := x.Run(ctx, loc)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}
