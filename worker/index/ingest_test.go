package index

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// rawTar makes a result.tar as another worker might.
func rawTar(t *testing.T, members map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range members {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestIngestRow(t *testing.T) {
	t.Parallel()
	const info = `{"custom_environment": ["ADT_TEST_TRIGGERS=green/2-1 blue/1"]}`
	for name, test := range map[string]struct {
		members map[string]string
		want    Run // without Location
		damaged bool
	}{
		"upstream's, passed": {
			members: map[string]string{"exitcode": "0\n", "testpkg-version": "green 2-1\n", "duration": "340\n",
				"testinfo.json": info, "requester": "joe\n"},
			want: Run{Version: "2-1", Triggers: []string{"green/2-1", "blue/1"}, Duration: 340 * time.Second, Requester: "joe"},
		},
		"our own, with the request": {
			members: map[string]string{"exitcode": "4\n", "testpkg-version": "green 2-1\n", "duration": "3\n", "testinfo.json": info,
				"request": "green\n" + `{"triggers": ["green/2-1"], "all-proposed": "1", "testname": "smoke", "request-id": "r1"}`},
			want: Run{Version: "2-1", Triggers: []string{"green/2-1", "blue/1"}, Duration: 3 * time.Second, ExitCode: 4,
				Env: "all-proposed=1,testname=smoke"},
		},
		"a request that cannot be read is no damage": {
			members: map[string]string{"exitcode": "8\n", "testpkg-version": "green 2-1\n", "request": "green\n{"},
			want:    Run{Version: "2-1", ExitCode: 8},
		},
		"words that are no triggers": {
			members: map[string]string{"exitcode": "0\n", "testpkg-version": "green 2-1\n",
				"testinfo.json": `{"custom_environment": ["ADT_TEST_TRIGGERS=green/2-1 blue / /1 red/"]}`},
			want: Run{Version: "2-1", Triggers: []string{"green/2-1"}},
		},
		"erroneous package without a version": {
			members: map[string]string{"exitcode": "12\n"}, want: Run{Version: "unknown", ExitCode: 12},
		},
		"passed without a version": {members: map[string]string{"exitcode": "0\n"}, damaged: true},
		"testbed failure without a version": {
			members: map[string]string{"exitcode": "16\n"}, damaged: true,
		},
		"about another package": {
			members: map[string]string{"exitcode": "0\n", "testpkg-version": "blue 2-1\n"}, damaged: true,
		},
		"no exit code":           {members: map[string]string{"testpkg-version": "green 2-1\n"}, damaged: true},
		"exit code is no number": {members: map[string]string{"exitcode": "x", "testpkg-version": "green 2-1\n"}, damaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s, loc := newIndex(t), newStore(t, "noble"), at("noble", "amd64", "green", 1)
			putObject(t, s, loc, result.TarObject, rawTar(t, test.members))
			added, err := x.Ingest(t.Context(), s, loc)
			if damaged := errors.Is(err, result.ErrDamaged); damaged != test.damaged || added == test.damaged {
				t.Fatalf("added = %v, err = %v", added, err)
			}
			run, err := x.Run(t.Context(), loc)
			if test.damaged {
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("a row was written: %+v, %v", run, err)
				}
				if problems, err := x.Problems(t.Context(), 10); err != nil || len(problems) != 1 || problems[0].Location != loc {
					t.Errorf("it is not remembered: %+v, %v", problems, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test.want.Location = loc
			if test.want.Triggers == nil {
				test.want.Triggers = []string{}
			}
			if diff := cmp.Diff(test.want, run); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A PPA's results must not reach the tables that the gatekeeper reads.
func TestIngestOther(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t)
	loc := at("noble", "amd64", "green", 1)
	loc.Container = "autopkgtest-noble-joe-foo"
	if err := s.CreateContainer(t.Context(), loc.Container, true); err != nil {
		t.Fatal(err)
	}
	res := passed(loc)
	res.Request = []byte("green\n" + `{"triggers": ["green/1.0-1"], "ppas": ["joe/foo"], "request-id": "mine"}`)
	putResult(t, s, loc, res)
	if added, err := x.Ingest(t.Context(), s, loc); !added || err != nil {
		t.Fatal(added, err)
	}
	if runs, err := x.Runs(t.Context(), Filter{Limit: 10}); err != nil || len(runs) != 0 {
		t.Errorf("the distribution's runs: %v, %v", runs, err)
	}
	runs, err := x.ByRequest(t.Context(), "mine", Filter{Limit: 10})
	if err != nil || len(runs) != 1 || runs[0].Location != loc || runs[0].Version != "1.0-1" {
		t.Errorf("by request: %+v, %v", runs, err)
	}
}

func TestIngestIsIdempotent(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble")
	const runs, times = 5, 8
	var all sync.WaitGroup
	var added atomic.Int64
	for i := range runs {
		loc := at("noble", "amd64", "green", i)
		res := passed(loc)
		res.Request = fmt.Appendf(nil, "green\n{\"request-id\": \"id-%d\"}", i)
		putResult(t, s, loc, res)
		for range times {
			all.Go(func() {
				isNew, err := x.Ingest(t.Context(), s, loc)
				if err != nil {
					t.Error(err)
				}
				if isNew {
					added.Add(1)
				}
			})
		}
	}
	all.Wait()
	if added.Load() != runs {
		t.Errorf("added %d times, want %d", added.Load(), runs)
	}
	if lines := dump(t, x); len(lines) != 2*runs {
		t.Errorf("%d lines in the index, want %d", len(lines), 2*runs)
	}
}

// What is wrong with the store, or not there, says nothing about a result.
func TestIngestWithoutTheResult(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{"absent": store.ErrNotFound, "unavailable": store.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s, loc := newIndex(t), newStore(t, "noble"), at("noble", "amd64", "green", 1)
			putResult(t, s, loc, passed(loc))
			s.fail = func(string, string) error { return fmt.Errorf("on purpose: %w", fault) }
			if added, err := x.Ingest(t.Context(), s, loc); added || !errors.Is(err, fault) {
				t.Errorf("added = %v, err = %v", added, err)
			}
			if lines := dump(t, x); len(lines) != 0 {
				t.Errorf("something was written: %q", lines)
			}
			s.fail = nil
			if added, err := x.Ingest(t.Context(), s, loc); !added || err != nil {
				t.Errorf("afterwards: added = %v, err = %v", added, err)
			}
		})
	}
}
