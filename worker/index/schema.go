package index

import (
	"context"
	"database/sql"
	"fmt"
)

// format is the number of the schema, kept in the file's user_version. A file with another number is built anew.
const format = 1

// schema makes an empty index. The tables test and result, their column order (others insert by position) and the
// indexes' names are a contract with britney and Ubuntu's tools; the rest is ours.
const schema = `
CREATE TABLE test (id INTEGER PRIMARY KEY, release CHAR[20], arch CHAR[20], package CHAR[120]);
CREATE TABLE result (
	test_id INTEGER, run_id CHAR[30], version VARCHAR[200], triggers TEXT, duration INTEGER, exitcode INTEGER,
	requester TEXT, env TEXT, PRIMARY KEY(test_id, run_id), FOREIGN KEY(test_id) REFERENCES test(id));
CREATE UNIQUE INDEX test_package_uix ON test(package, release, arch);
CREATE INDEX test_id_ix ON test(id);
CREATE INDEX result_run_ix ON result(run_id DESC);
CREATE INDEX result_requester_idx ON result(requester);
CREATE INDEX result_test_id_ix ON result(test_id);

-- Runs that other containers than autopkgtest-RELEASE hold: those with PPAs. They must stay out of table result, where
-- the gatekeeper would take them for the distribution's.
CREATE TABLE other_result (
	container TEXT, release TEXT, arch TEXT, package TEXT, run_id TEXT, version TEXT, triggers TEXT, duration INTEGER,
	exitcode INTEGER, requester TEXT, env TEXT, PRIMARY KEY(container, release, arch, package, run_id)) WITHOUT ROWID;

-- Which runs a request led to, for those who put an id of their own into it.
CREATE TABLE request_run (
	request_id TEXT, container TEXT, release TEXT, arch TEXT, package TEXT, run_id TEXT,
	PRIMARY KEY(request_id, container, release, arch, package, run_id)) WITHOUT ROWID;

-- Run directories that could not be indexed, when they may be tried again (Unix time; NULL: never by themselves).
CREATE TABLE problem (
	container TEXT, dir TEXT, reason TEXT, attempts INTEGER, next INTEGER, PRIMARY KEY(container, dir)) WITHOUT ROWID;
`

// prepare makes the tables of an empty file and refuses a file that is something else.
func prepare(ctx context.Context, db *sql.DB) error {
	var found, tables int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if found == format {
		return check(ctx, db)
	}
	if found != 0 || tables != 0 {
		return fmt.Errorf("%w: it has number %d and %d tables and indexes, wanted number %d", errFormat, found, tables, format)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", format)); err != nil {
		return fmt.Errorf("number the schema: %w", err)
	}
	return tx.Commit()
}

// check looks for damage. It reads the whole file, which takes about a second per half a million results.
func check(ctx context.Context, db *sql.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", errFormat, answer)
	}
	return nil
}
