package run

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// ascending checks that run ids grow by a second at least: in one second, the digits would decide.
func ascending(t *testing.T, ids []result.RunID) {
	t.Helper()
	for i := 1; i < len(ids); i++ {
		before, err1 := ids[i-1].Time()
		after, err2 := ids[i].Time()
		if err1 != nil || err2 != nil || !after.After(before) {
			t.Errorf("run ids %v: number %d is not later than the one before", ids, i)
		}
	}
}

// Results of one package that end in the same instant.
func TestRunIDsOfOneSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 8 })
		ended := b.dispatching(t.Context())
		for i := range 8 {
			d, _ := deliver("green\n" + `{"triggers": ["blue/` + string(rune('1'+i)) + `"]}`)
			b.incoming <- d
		}
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		ids := b.stored(t, "green")
		if len(ids) != 8 {
			t.Fatalf("%d results, want 8", len(ids))
		}
		ascending(t, ids)
	})
}

func TestRunIDGoesAboveTheStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		theirs time.Duration // from the moment in which ours is published
		during bool          // theirs appears while ours is uploaded
	}{
		"older":                       {-time.Hour, false},
		"the same second":             {0, false},
		"a clock ahead":               {time.Hour, false},
		"in the middle of our upload": {time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
					output(job.OutputDir, map[string]string{"log": "x", "summary": "y"})
					return testbed.Outcome{}, nil
				})
				var theirs result.RunID
				other := "green\n" + `{"triggers": ["other/1"]}`
				if !test.during {
					theirs = b.foreign(t, time.Now().Add(test.theirs), other)
				} else {
					b.store.hook(func(call, object string) error {
						if call == "put" && path.Base(object) == "artifacts.tar.gz" && theirs == "" {
							theirs = b.foreign(t, time.Now().Add(test.theirs), other)
						}
						return nil
					})
				}
				d, m := deliver(body("green"))
				b.newLife(d, b.state).live(t.Context())
				ids := b.stored(t, "green")
				if len(ids) != 2 || ids[0] != theirs || m.settled() != acked {
					t.Fatalf("results %v, want %s and then ours; settled %v", ids, theirs, m.settled())
				}
				ascending(t, ids)
				completions := b.session.completions(t)
				if len(completions) != 1 || completions[0].Location.RunID != ids[1] {
					t.Errorf("announced %+v, want %s", completions, ids[1])
				}
			})
		})
	}
}

// lateStore lists some objects only a while after they were stored, as a store does whose listings are made by other servers.
type lateStore struct {
	store.Store
	late   func(object string) time.Duration
	mu     sync.Mutex
	listed map[string]time.Time // object → from when on
}

func (s *lateStore) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	err := s.Store.Put(ctx, container, object, body, size, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.listed[object]; err == nil && !again {
		s.listed[object] = time.Now().Add(s.late(object))
	}
	return err
}

func (s *lateStore) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	limit := query.Limit
	query.Limit = 0
	entries, err := s.Store.List(ctx, container, query)
	s.mu.Lock()
	defer s.mu.Unlock()
	entries = slices.DeleteFunc(entries, func(e store.Entry) bool { return s.hidden(e) })
	if limit > 0 && len(entries) > limit {
		entries = entries[:limit]
	}
	return entries, err
}

// hidden: a subdirectory is listed with the first object in it.
func (s *lateStore) hidden(e store.Entry) bool {
	if !e.Subdirectory {
		return time.Now().Before(s.listed[e.Name])
	}
	for object, from := range s.listed {
		if strings.HasPrefix(object, e.Name) && !time.Now().Before(from) {
			return false
		}
	}
	return true
}

// A store that lists what it has taken only later, now and then: the gatekeeper reads every result, and a result is not announced
// before it can.
func TestRunIDsWithALateListing(t *testing.T) {
	t.Parallel()
	for name, lateness := range map[string][]time.Duration{
		"each": {20 * time.Second}, "the first one": {time.Minute, 0, 0, 0}, "every other": {0, 5 * time.Second},
		"less and less": {40 * time.Second, 30 * time.Second, 20 * time.Second, 10 * time.Second},
	} {
		for _, beside := range []bool{true, false} { // whether log and artifacts are late, too
			t.Run(fmt.Sprintf("%s, %t", name, beside), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { listedLate(t, lateness, beside) })
			})
		}
	}
}

func listedLate(t *testing.T, lateness []time.Duration, beside bool) {
	b := newBench(t, passes, func(s *Settings) { s.Slots = 4 })
	if err := b.store.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
		t.Fatal(err)
	}
	tars := 0
	late := &lateStore{Store: b.store, listed: map[string]time.Time{}}
	late.late = func(object string) time.Duration {
		if !strings.HasSuffix(object, "/"+result.TarObject) {
			if beside {
				return lateness[tars%len(lateness)]
			}
			return 0
		}
		tars++
		return lateness[(tars-1)%len(lateness)]
	}
	b.Worker.store = late
	gate := &gatekeeper{read: map[string]int{}}
	looking, enough := context.WithCancel(t.Context())
	var gatekeeping sync.WaitGroup
	gatekeeping.Go(func() {
		for sleep(looking, 500*time.Millisecond) {
			gate.look(t, late)
		}
	})
	ended := b.dispatching(t.Context())
	for i := range 4 {
		d, _ := deliver("green\n" + `{"triggers": ["blue/` + string(rune('1'+i)) + `"]}`)
		b.incoming <- d
	}
	time.Sleep(10 * time.Minute)
	b.Drain()
	<-ended
	enough()
	gatekeeping.Wait()
	ids := b.stored(t, "green")
	if len(ids) != 4 {
		t.Fatalf("%d results, want 4", len(ids))
	}
	ascending(t, ids)
	if len(gate.read) != 4 {
		t.Errorf("the gatekeeper has read %d results, want 4: %v; in the store: %v", len(gate.read), gate.read, ids)
	}
	if n := len(b.session.completions(t)); n != 4 {
		t.Errorf("%d results announced, want 4, each once", n)
	}
}

// A try that fails in the middle leaves no second folder behind: its run id is used again while it is the greatest.
func TestRunIDIsKeptOverTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		failures := 0
		b.store.hook(func(call, object string) error {
			if call == "put" && path.Base(object) == "result.tar" && failures < 5 {
				failures++
				return store.ErrUnavailable
			}
			return nil
		})
		d, _ := deliver(body("green"))
		b.newLife(d, b.state).live(t.Context())
		all, err := runs(t.Context(), b.store.Store, "autopkgtest-noble", "noble", "amd64", "green", "")
		if err != nil || len(all) != 1 {
			t.Errorf("run folders %v, %v, want one", all, err)
		}
	})
}

func TestContainers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body, container string
		objects         string
	}{
		"distro": {body("green"), "autopkgtest-noble", "artifacts.tar.gz log.gz result.tar"},
		"ppa": {
			"green\n" + `{"triggers": ["green/1"], "ppas": ["a/b", "joe/foo"]}`,
			"autopkgtest-noble-joe-foo", "artifacts.tar.gz log.gz result.tar",
		},
		"private": {
			"green\n" + `{"triggers": ["green/1"], "ppas": ["u:secret@joe/foo"], "swiftuser": "sam", "readable-by": ["joe", "ann"]}`,
			"private-autopkgtest-noble-joe-foo", "artifacts.tar.gz log.gz readable-by result.tar",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, passes)
				d, m := deliver(test.body)
				b.newLife(d, b.state).live(t.Context())
				var names []string
				for entry, err := range store.Walk(t.Context(), b.store.Store, test.container, "", "", "") {
					if err != nil {
						t.Fatal(err)
					}
					names = append(names, path.Base(entry.Name))
				}
				if got := strings.Join(names, " "); got != test.objects || m.settled() != acked {
					t.Errorf("objects %s, want %s; settled %v", got, test.objects, m.settled())
				}
				if name == "private" {
					at := b.session.completions(t)[0].Location
					if content, _ := b.object(t, at, "readable-by"); string(content) != "joe\nann\n" {
						t.Errorf("readable-by: %q", content)
					}
					if content, _ := b.object(t, at, "result.tar"); strings.Contains(string(content), "secret") {
						t.Error("the password of the archive is in the result")
					}
					if strings.Contains(b.logged.String(), "secret") {
						t.Error("the password of the archive is in the log")
					}
				}
			})
		})
	}
}
