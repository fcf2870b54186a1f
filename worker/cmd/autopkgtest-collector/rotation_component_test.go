//go:build component

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// TestCredentialsRotate: a collector goes over to the next user while both work, and hears what is announced afterwards.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t, time.Hour) // what it learns, it has heard
	file := filepath.Join(w.folder, "credentials")
	first, err := config.ReadBroker(file)
	if err != nil {
		t.Fatal(err)
	}
	second := w.broker.User(t, "collector", configure, write, read)
	second.Host, second.Port = first.Host, first.Port // through the proxy
	if err := config.ReplaceCredentials(file, second.File(config.KeyURI)); err != nil {
		t.Fatal(err)
	}
	connected := func(user string) int {
		var open []json.RawMessage
		if err := json.Unmarshal(w.broker.Do(t, http.MethodGet, "/api/connections/username/"+user, nil), &open); err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	queuetest.Eventually(t, "both subscriptions use the new user alone", func() bool {
		return connected(first.Username) == 0 && connected(second.Username) >= 2
	})
	w.broker.Do(t, http.MethodDelete, "/api/users/"+first.Username, nil)
	queuetest.Eventually(t, "the collector is ready", func() bool { return w.ready() == http.StatusOK })
	loc := w.at("green", "amd64", 1)
	w.announce(t, loc, w.put(t, loc))
	w.eventually(t, fmt.Sprintf("green amd64 1.0-1 pass 7 %s", loc.RunID))
}
