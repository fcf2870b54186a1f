package run

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

func TestGlimpse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	at := func(second int) result.RunID {
		return result.NewRunID(now.Add(time.Duration(second)*time.Second), []byte("green"), "amd64", "noble")
	}
	ended := make(chan struct{})
	close(ended)
	for name, test := range map[string]struct {
		glimpse *glimpse
		later   time.Duration
		want    result.RunID
		known   bool
	}{
		"none":                     {nil, 0, "", false},
		"nothing is there":         {&glimpse{ended: ended}, 0, "", true},
		"one of this second":       {&glimpse{ended: ended, greatest: at(0)}, 0, at(0), true},
		"one ahead":                {&glimpse{ended: ended, greatest: at(9)}, 0, at(9), true},
		"one of the second before": {&glimpse{ended: ended, greatest: at(-1)}, 0, "", true},
		"too old":                  {&glimpse{ended: ended, greatest: at(9)}, glimpseAge + 1, "", false},
		"went wrong":               {&glimpse{ended: ended, err: errors.New("no store")}, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if test.glimpse != nil {
					test.glimpse.began = time.Now()
				}
				time.Sleep(test.later)
				if got, known := test.glimpse.above(t.Context(), now); got != test.want || known != test.known {
					t.Errorf("%q, %t, want %q, %t", got, known, test.want, test.known)
				}
			})
		})
	}
}

// What a life lists of its package while nothing else happens: once when the test has ended, once when its result is visible.
func TestListings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		if err := b.store.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
			t.Fatal(err)
		}
		listings := 0
		b.store.hook(func(call, object string) error {
			if call == "list" && strings.HasPrefix(object, "noble/") {
				listings++
			}
			return nil
		})
		d, m := deliver(body("green"))
		b.newLife(d, b.state).live(t.Context())
		if listings != 2 || m.settled() != acked {
			t.Errorf("%d listings, settled %v; want 2, and acknowledged", listings, m.settled())
		}
	})
}
