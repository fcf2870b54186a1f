//go:build component

package run

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// connected says whether anybody is connected as a user.
func (c *cloud) connected(t *testing.T, user string) bool {
	t.Helper()
	var open []json.RawMessage
	if err := json.Unmarshal(c.broker.Do(t, http.MethodGet, "/api/connections/username/"+user, nil), &open); err != nil {
		t.Fatal(err)
	}
	return len(open) > 0
}

// TestCredentialsRotateDuringARun: a worker follows its credentials file to the next user, whether it is told in time or the old
// user is taken from under it. The running test goes on, and ends in one result.
func TestCredentialsRotateDuringARun(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]time.Duration{"the file is read again": 100 * time.Millisecond, "the old user goes": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := newCloud(t), newStub(t)
			release := s.hold(t, "green")
			defer release()
			first, second := c.workerAccount(t), c.workerAccount(t)
			file := filepath.Join(t.TempDir(), "amqp")
			read := func() (config.Broker, error) { return config.ReadBroker(file) }
			if err := os.WriteFile(file, first.File(config.KeyURI), 0o600); err != nil {
				t.Fatal(err)
			}
			w := c.workWith(t, s, func(ctx context.Context) (*queue.Session, error) {
				account, err := read()
				if err != nil {
					return nil, err
				}
				return queue.Dial(ctx, account, queue.WithFollow(look, read))
			}, c.store, 2)
			c.request(t, body("green"))
			queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") > 0 })
			if err := config.ReplaceCredentials(file, second.File(config.KeyURI)); err != nil {
				t.Fatal(err)
			}
			if look == time.Hour {
				c.broker.Do(t, http.MethodDelete, "/api/users/"+first.Username, nil)
			}
			queuetest.Eventually(t, "the worker uses the new user alone", func() bool {
				return c.connected(t, second.Username) && !c.connected(t, first.Username) && w.broker.now() != nil
			})
			c.request(t, body("blue"))
			queuetest.Eventually(t, "the new session brings requests", func() bool { return len(c.results(t, "blue")) == 1 })
			release()
			queuetest.Eventually(t, "the test that ran all the time is done", func() bool { return len(c.results(t, "green")) > 0 })
			c.drained(t, w)
			if got := c.results(t, "green"); len(got) != 1 || s.count("green") != 1 {
				t.Errorf("results %v of %d runs, want one of one", got, s.count("green"))
			}
		})
	}
}
