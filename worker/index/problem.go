package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// pauses are how long a run directory that could not be indexed is left alone after each attempt. After the last it is
// not tried again by listing; a completion message for it still is. A result.tar that is not there yet
// belongs to an upload under way (minutes) or one that a worker resumes (hours).
var pauses = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// Problem is a run directory in the store that is not in the index, and why.
type Problem struct {
	result.Location
	Reason   string
	Attempts int

	next sql.NullInt64 // Unix time of the next attempt; NULL: none by itself
}

// note writes down that an attempt to index a run failed for reasons of that run.
func (x *Index) note(ctx context.Context, loc result.Location, cause error) error {
	err := x.noteAttempt(ctx, loc, reason(cause))
	if err != nil {
		return fmt.Errorf("remember that %s/%s cannot be indexed: %w", loc.Container, loc.Dir(), err)
	}
	return nil
}

func (x *Index) noteAttempt(ctx context.Context, loc result.Location, reason string) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	var attempts int
	err = tx.QueryRowContext(ctx, "SELECT attempts FROM problem WHERE container = ? AND dir = ?",
		loc.Container, loc.Dir()).Scan(&attempts)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var next sql.NullInt64
	if attempts < len(pauses) {
		next = sql.NullInt64{Int64: x.now().Add(pauses[attempts]).Unix(), Valid: true}
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO problem VALUES (?, ?, ?, ?, ?)",
		loc.Container, loc.Dir(), reason, attempts+1, next)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// reason is the text that is kept of an error.
func reason(cause error) string {
	if errors.Is(cause, store.ErrNotFound) {
		return "no result.tar"
	}
	const most = 500
	text := cause.Error()
	return text[:min(len(text), most)]
}

// Problems lists the runs in the store that could not be indexed, at most limit.
func (x *Index) Problems(ctx context.Context, limit int) ([]Problem, error) {
	return collect(ctx, x.read, scanProblem, "SELECT "+problemFields+" FROM problem ORDER BY container, dir LIMIT ?", limit)
}

const problemFields = "container, dir, reason, attempts, next"

func scanProblem(rows *sql.Rows) (Problem, error) {
	var p Problem
	var container, dir string
	if err := rows.Scan(&container, &dir, &p.Reason, &p.Attempts, &p.next); err != nil {
		return p, err
	}
	loc, err := result.ParseDir(dir)
	if err != nil {
		return p, err
	}
	p.Location = loc
	p.Container = container
	return p, nil
}
