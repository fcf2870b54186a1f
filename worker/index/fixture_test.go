package index

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
)

var quiet = slog.New(slog.DiscardHandler)

func openIndex(t testing.TB, path string) *Index {
	t.Helper()
	x, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func newIndex(t testing.TB) *Index { return openIndex(t, filepath.Join(t.TempDir(), "autopkgtest.db")) }

// newStore is a store with an empty container per release.
func newStore(t testing.TB, releases ...string) *watched {
	t.Helper()
	s, err := directory.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, release := range releases {
		if err := s.CreateContainer(t.Context(), result.Container(release, nil, false), true); err != nil {
			t.Fatal(err)
		}
	}
	return &watched{Store: s, gets: map[string]int{}}
}

// watched counts what is fetched, and fails where it is told to.
type watched struct {
	store.Store
	fail func(container, object string) error // nil: never

	mu   sync.Mutex
	gets map[string]int
}

func (w *watched) Get(ctx context.Context, container, object string) (io.ReadCloser, store.Properties, error) {
	w.mu.Lock()
	w.gets[object]++
	w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(container, object); err != nil {
			return nil, store.Properties{}, err
		}
	}
	return w.Store.Get(ctx, container, object)
}

func (w *watched) fetched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, times := range w.gets {
		n += times
	}
	return n
}

// at is the place of a run of the distribution's, n seconds into a day.
func at(release, arch, pkg string, n int) result.Location {
	published := time.Date(2026, 11, 20, 0, 0, n, 0, time.UTC)
	return result.Location{
		Container: result.Container(release, nil, false), Release: release, Architecture: arch, Package: pkg,
		RunID: result.NewRunID(published, []byte(pkg), arch, release),
	}
}

func passed(loc result.Location) result.Result {
	return result.Result{
		Source: loc.Package, Version: "1.0-1", Duration: 12 * time.Second, Triggers: []string{loc.Package + "/1.0-1"},
	}
}

func putResult(t testing.TB, s store.Store, loc result.Location, res result.Result) {
	t.Helper()
	var tar bytes.Buffer
	if err := res.WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	putObject(t, s, loc, result.TarObject, tar.Bytes())
}

func putObject(t testing.TB, s store.Store, loc result.Location, name string, content []byte) {
	t.Helper()
	body := bytes.NewReader(content)
	if err := s.Put(t.Context(), loc.Container, loc.Object(name), body, body.Size(), store.Properties{}); err != nil {
		t.Fatal(err)
	}
}

// dump is what the index says, without what depends on when it was learnt: ids and times of attempts.
func dump(t testing.TB, x *Index) []string {
	t.Helper()
	var lines []string
	for name, query := range map[string]string{
		"result": `SELECT release, arch, package, run_id, version, triggers, duration, exitcode, requester, env
			FROM test JOIN result ON id = test_id ORDER BY 1, 2, 3, 4`,
		"other_result": "SELECT * FROM other_result ORDER BY 1, 2, 3, 4, 5",
		"request_run":  "SELECT * FROM request_run ORDER BY 1, 2, 3, 4, 5, 6",
		"problem":      "SELECT container, dir, reason FROM problem ORDER BY 1, 2",
	} {
		rows, err := collect(t.Context(), x.read, func(rows *sql.Rows) (string, error) { return scanText(name, rows) }, query)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, rows...)
	}
	slices.Sort(lines)
	return lines
}

func scanText(table string, rows *sql.Rows) (string, error) {
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	if err := rows.Scan(values...); err != nil {
		return "", err
	}
	text := table
	for _, value := range values {
		text += fmt.Sprintf(" %#v", *value.(*any))
	}
	return text, nil
}
