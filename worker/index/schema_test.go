package index

import (
	"database/sql"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The contract with britney and Ubuntu's tools: names, types and order of the columns, and the indexes.
func TestSchemaContract(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	for table, want := range map[string][]string{
		"test": {"id INTEGER", "release CHAR[20]", "arch CHAR[20]", "package CHAR[120]"},
		"result": {"test_id INTEGER", "run_id CHAR[30]", "version VARCHAR[200]", "triggers TEXT", "duration INTEGER",
			"exitcode INTEGER", "requester TEXT", "env TEXT"},
	} {
		got, err := collect(t.Context(), x.read, scanString, "SELECT name || ' ' || type FROM pragma_table_info(?)", table)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
	got, err := collect(t.Context(), x.read, scanString, `SELECT name || ': ' || tbl_name || '(' || (SELECT
		group_concat(name || CASE "desc" WHEN 1 THEN ' desc' ELSE '' END, ', ') FROM pragma_index_xinfo(s.name) WHERE key)
		|| ')' FROM sqlite_schema s WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"result_requester_idx: result(requester)",
		"result_run_ix: result(run_id desc)",
		"result_test_id_ix: result(test_id)",
		"test_id_ix: test(id)",
		"test_package_uix: test(package, release, arch)",
	}, got); diff != "" {
		t.Error(diff)
	}
	var mode string
	if err := x.write.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
}

// The gatekeeper's own query, over a row of ours and one that upstream's tool inserts by position.
func TestGatekeepersQuery(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble")
	for i := range 2 {
		loc := at("noble", "amd64", "green", i)
		putResult(t, s, loc, passed(loc))
		if _, err := x.Ingest(t.Context(), s, loc); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.write.Exec("INSERT INTO result VALUES (1, '20261121_000000_aaaaa@', '3-1', 'green/3-1', 5, 4, '', '')"); err != nil {
		t.Fatal(err)
	}
	type row struct{ Exit, Version, Triggers, Run string }
	got, err := collect(t.Context(), x.read, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.Exit, &r.Version, &r.Triggers, &r.Run)
	}, `SELECT result.exitcode, result.version, result.triggers, result.run_id FROM test INNER JOIN result
		ON test.id = result.test_id WHERE test.release = ? AND test.arch = ? AND test.package = ? AND result.run_id > ?
		ORDER BY run_id`, "noble", "amd64", "green", string(at("noble", "amd64", "green", 0).RunID))
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"0", "1.0-1", "green/1.0-1", string(at("noble", "amd64", "green", 1).RunID)},
		{"4", "3-1", "green/3-1", "20261121_000000_aaaaa@"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
