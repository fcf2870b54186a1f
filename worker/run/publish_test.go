package run

import (
	"context"
	"path"
	"strings"
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

// lateStore lists nothing that was stored a moment ago, as a store of many servers may.
type lateStore struct{ store.Store }

func (lateStore) List(context.Context, string, store.Query) ([]store.Entry, error) { return nil, nil }

func TestRunIDsWithALateListing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 4 })
		if err := b.store.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
			t.Fatal(err)
		}
		b.Worker.store = lateStore{b.store}
		ended := b.dispatching(t.Context())
		for i := range 4 {
			d, _ := deliver("green\n" + `{"triggers": ["blue/` + string(rune('1'+i)) + `"]}`)
			b.incoming <- d
		}
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		ids := b.stored(t, "green")
		if len(ids) != 4 {
			t.Fatalf("%d results, want 4", len(ids))
		}
		ascending(t, ids)
	})
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
