package queue

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // what Ubuntu's listener writes into

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// What Ubuntu's own listeners do with our messages, as rules: they take keys without asking whether they are there, compare
// and split texts, and write what they find into SQLite as it is. A message that breaks a rule ends them, or is lost.

// upstreamTables are those of the database that Ubuntu's website and its gatekeeper read. At one time each result had an id of
// its requester's in it, of which no two may be the same; a message without one has the empty text.
var upstreamTables = map[string]string{
	"today": "CREATE TABLE result(test_id INTEGER, run_id CHAR[30], version VARCHAR[200], triggers TEXT, duration INTEGER, " +
		"exitcode INTEGER, requester TEXT, env TEXT, PRIMARY KEY(test_id, run_id))",
	"with ids": "CREATE TABLE result(test_id INTEGER, run_id CHAR[30], version VARCHAR[200], triggers TEXT, duration INTEGER, " +
		"exitcode INTEGER, requester TEXT, env TEXT, uuid TEXT UNIQUE, PRIMARY KEY(test_id, run_id))",
}

// upstreamWriter is their listener for completion messages. It keeps one test: all messages are of one package.
type upstreamWriter struct {
	t       *testing.T
	db      *sql.DB
	withIDs bool
	ended   error // by a message that it cannot handle
}

func newUpstreamWriter(t *testing.T, table string) *upstreamWriter {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), upstreamTables[table]); err != nil {
		t.Fatal(err)
	}
	return &upstreamWriter{t: t, db: db, withIDs: table == "with ids"}
}

// handle reports whether a row was written.
func (w *upstreamWriter) handle(body []byte) (recorded bool) {
	var info map[string]any
	if w.ended = json.Unmarshal(body, &info); w.ended != nil {
		return false
	}
	for _, key := range []string{"architecture", "container", "duration", "exitcode", "package", "release", "requester", "swift_dir", "testpkg_version"} {
		if _, there := info[key]; !there {
			w.ended = fmt.Errorf("no %s", key)
			return false
		}
	}
	requester, isText := info["requester"].(string)
	if !isText && info["requester"] != nil {
		w.ended = fmt.Errorf("the requester %v cannot be stripped", info["requester"])
		return false
	}
	parts := strings.Split(fmt.Sprint(info["swift_dir"]), "/")
	if len(parts) != 5 {
		w.ended = fmt.Errorf("%d parts of %v", len(parts), info["swift_dir"])
		return false
	}
	triggers, _ := info["triggers"].(string)
	if info["container"] != fmt.Sprintf("autopkgtest-%v", info["release"]) || triggers == "" {
		return false // left out, which is no error
	}
	env, _ := info["env"].(string)
	values := []any{1, parts[4], info["testpkg_version"], triggers, info["duration"], info["exitcode"], strings.TrimSpace(requester), env}
	marks := "?, ?, ?, ?, ?, ?, ?, ?"
	if w.withIDs {
		id, _ := info["uuid"].(string)
		values, marks = append(values, id), marks+", ?"
	}
	_, err := w.db.ExecContext(w.t.Context(), "INSERT INTO result VALUES ("+marks+")", values...)
	if err != nil && !strings.Contains(err.Error(), "UNIQUE constraint failed") {
		w.ended = err
	}
	return err == nil
}

// upstreamRow is a result as the website and the gatekeeper read it back.
type upstreamRow struct {
	RunID, Version, Triggers, Requester, Env string
	Exit, Duration                           int
	DurationType                             string
}

func (w *upstreamWriter) rows() (all []upstreamRow) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(),
		"SELECT run_id, version, triggers, requester, env, exitcode, duration, typeof(duration) FROM result ORDER BY run_id")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r upstreamRow
		if err := rows.Scan(&r.RunID, &r.Version, &r.Triggers, &r.Requester, &r.Env, &r.Exit, &r.Duration, &r.DurationType); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestUpstreamRecordsCompletions(t *testing.T) {
	t.Parallel()
	at := func(run string) result.Location {
		return result.Location{Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: "libgreen", RunID: result.RunID(run)}
	}
	ppa := at("20261122_012131_0a1b2@")
	ppa.Container = "autopkgtest-noble-joe-foo"
	private := at("20261122_012132_0a1b2@")
	private.Container = "private-autopkgtest-noble-joe-foo"
	type message struct {
		at       result.Location
		request  string // body
		outcome  result.Result
		recorded bool
	}
	const triggers = `"triggers": ["libgreen/1:2-3", "blue/2"]`
	messages := []message{
		{at("20261122_012127_0a1b2@"), "libgreen\n{" + triggers + `, "requester": "joe", "all-proposed": "1", "testname": "smoke", "env": ["A=b"]}`,
			result.Result{ExitCode: 4, Source: "libgreen", Version: "1:2-3", Duration: 123 * time.Second}, true},
		{at("20261122_012128_0a1b2@"), "libgreen\n{" + triggers + "}",
			result.Result{ExitCode: 16, Source: "libgreen", Triggers: []string{"blue/2"}}, true}, // no version: the row must have one all the same
		{at("20261122_012128_0a1b2@"), "libgreen\n{" + triggers + "}",
			result.Result{ExitCode: 16, Source: "libgreen", Triggers: []string{"blue/2"}}, false}, // announced twice
		{at("20261122_012129_0a1b2@"), "libgreen\n{" + triggers + "}", result.Result{ExitCode: 99, Source: "libgreen", Version: "blacklisted"}, true},
		{at("20261122_012130_0a1b2@"), "libgreen", result.Result{Source: "libgreen", Version: "1"}, false}, // no triggers
		{ppa, "libgreen\n{" + triggers + `, "ppas": ["joe/foo"]}`, result.Result{Source: "libgreen", Version: "1"}, false},
		{private, "libgreen\n{" + triggers + `, "swiftuser": "joe", "ppas": ["u:t@joe/foo"]}`, result.Result{Source: "libgreen", Version: "1"}, false},
	}
	want := []upstreamRow{
		{"20261122_012127_0a1b2@", "1:2-3", "libgreen/1:2-3 blue/2", "joe", "all-proposed=1,testname=smoke", 4, 123, "integer"},
		{"20261122_012128_0a1b2@", "unknown", "libgreen/1:2-3 blue/2", "", "", 16, 0, "integer"},
		{"20261122_012129_0a1b2@", "blacklisted", "libgreen/1:2-3 blue/2", "", "", 99, 0, "integer"},
	}
	for table := range upstreamTables {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			w := newUpstreamWriter(t, table)
			for i, m := range messages {
				r, err := request.Parse([]byte(m.request))
				if err != nil {
					t.Fatal(err)
				}
				body, err := NewCompletion(m.at, r, m.outcome).Body()
				if err != nil {
					t.Fatal(err)
				}
				if got := w.handle(body); got != m.recorded || w.ended != nil {
					t.Errorf("message %d is recorded: %t, want %t; it ends the listener with %v: %s", i, got, m.recorded, w.ended, body)
				}
			}
			if diff := cmp.Diff(want, w.rows()); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// upstreamRunning is their listener for status messages: package → identity → release → architecture. The identity is made of
// the parameters, so the last message of a run must have the same as all others, or the run stays on the page for ever.
type upstreamRunning map[string]int

func (u upstreamRunning) handle(body []byte) error {
	var info map[string]any
	if err := json.Unmarshal(body, &info); err != nil {
		return err
	}
	params := map[string]any{}
	if given, there := info["params"]; there {
		object, ok := given.(map[string]any)
		if !ok {
			return fmt.Errorf("the parameters %v have no keys", given)
		}
		params = object
	}
	var identity strings.Builder
	for _, key := range slices.Sorted(maps.Keys(params)) {
		fmt.Fprintf(&identity, "%s_%v;", key, params[key])
	}
	running, ok := info["running"].(bool)
	if !ok {
		return fmt.Errorf("running is %v", info["running"])
	}
	where := fmt.Sprintf("%v|%s|%v|%v", info["package"], identity.String(), info["release"], info["architecture"])
	if !running {
		delete(u, where)
		return nil
	}
	if _, ok := info["logtail"].(string); !ok {
		return fmt.Errorf("the log's tail is %v", info["logtail"])
	}
	seconds, ok := info["duration"].(float64) // the page divides it into hours and minutes, and shows it
	if !ok || seconds != float64(int(seconds)) {
		return fmt.Errorf("the duration is %v", info["duration"])
	}
	u[where] = int(seconds)
	return nil
}

func TestUpstreamShowsWhatRuns(t *testing.T) {
	t.Parallel()
	noble := request.Queue{Release: "noble", Architecture: "arm64"}
	for name, text := range map[string]string{
		"package alone":      "green",
		"britney's":          "green\n{\"triggers\": [\"green/2\", \"libblue/1:3-2\"], \"submit-time\": \"2026-11-22 01:21:27\"}",
		"the website's":      "green\n{\"all-proposed\": \"1\", \"env\": [\"A=b\"], \"requester\": \"joe\", \"submit-time\": \"2026-11-22 01:21:27+0000\", \"testname\": \"x\", \"triggers\": [\"green/2\"]}",
		"keys in disorder":   "green\n{\"triggers\": [\"green/2\"], \"a\": 1, \"Z\": null, \"m\": {\"b\": [1.50, 1e3]}}",
		"signs and escapes":  "green\n{\"triggers\": [\"green/2\"], \"x\": \"<a & b> \\u00e9 é \\ud83e \\\"'\\\\ 🠉\"}",
		"twice the same key": "green\n{\"triggers\": [\"green/1\"], \"triggers\": [\"green/2\"]}",
		"large numbers":      "green\n{\"triggers\": [\"green/2\"], \"x\": 123456789012345678901234567890}",
		"private":            "green\n{\"triggers\": [\"green/2\"], \"swiftuser\": \"joe\", \"ppas\": [\"u:SECRET@joe/foo\"]}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := request.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			shown := upstreamRunning{}
			tell := func(running bool, duration time.Duration, tail string) {
				t.Helper()
				body, err := NewStatus(noble, r, []byte(text), running, duration, tail).Body()
				if err != nil {
					t.Fatal(err)
				}
				if err := shown.handle(body); err != nil {
					t.Errorf("it ends the listener: %v: %s", err, body)
				}
				if strings.Contains(string(body), "SECRET") {
					t.Errorf("a password: %s", body)
				}
			}
			tell(true, 0, "")
			tell(true, 10*time.Second+time.Millisecond, "one\ntwo <&> é\n")
			if len(shown) != 1 {
				t.Errorf("while it runs: %v", shown)
			}
			tell(false, 20*time.Second, "the end\n")
			if len(shown) != 0 {
				t.Errorf("when it has ended: %v", shown)
			}
		})
	}
}
