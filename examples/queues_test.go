//go:build e2e

package examples

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// The promises for 8 releases x 8 architectures x 4 contexts.
const (
	manyQueues      = 256
	createManyLimit = 10 * time.Second
	planManyLimit   = 2 * time.Second
)

// brokerOnly is a broker, and what follows.
func brokerOnly(directory, more string) string {
	return `
terraform {
  required_providers {
    autopkgtest = {
      source = "` + address + `"
    }
  }
}

provider "autopkgtest" {
  stack     = "queues"
  directory = "` + directory + `"
}

resource "autopkgtest_rabbitmq_server" "broker" {}

output "management" {
  value = autopkgtest_rabbitmq_server.broker.broker.management_url
}

output "credentials" {
  value = autopkgtest_rabbitmq_server.broker.broker.credentials_file
}
` + more
}

// callCounter stands between the provider and the management API, and counts the calls.
type callCounter struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string
}

func countCalls(t *testing.T, endpoint string) *callCounter {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := &callCounter{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.calls = append(c.calls, r.Method+" "+r.URL.EscapedPath())
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// since returns the calls since the last time.
func (c *callCounter) since() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// TestManyQueues measures 256 queues, beside bare calls of the same broker in the same minute.
func TestManyQueues(t *testing.T) { //nolint:paralleltest // it measures
	c := newCLI(t)
	directory := newStack(t)
	c.write("main.tf", brokerOnly(directory, ""))
	c.run("apply")
	counter := countCalls(t, c.output("management"))
	account, err := config.ReadBroker(c.output("credentials"))
	if err != nil {
		t.Fatal(err)
	}
	management, err := management.New(c.output("management"), account.Username, account.Password)
	if err != nil {
		t.Fatal(err)
	}
	c.write("queues.tf", `
resource "autopkgtest_request_queues" "many" {
  broker        = merge(autopkgtest_rabbitmq_server.broker.broker, { management_url = "`+counter.URL+`" })
  releases      = [for n in range(8) : "rel${n}"]
  architectures = ["amd64", "amd64v3", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x"]
}
`)
	without := timed(func() { c.run("plan", "-target=autopkgtest_rabbitmq_server.broker") })
	bare := bareDeclarations(t, management)
	counter.since()

	created := timed(func() { c.run("apply") })
	declarations := 0
	for _, call := range counter.since() {
		if strings.HasPrefix(call, "PUT /api/queues/") {
			declarations++
		}
	}
	planned := timed(c.planIsEmpty)
	calls := counter.since()
	t.Logf("apply that creates %d queues: %s, limit %s (as many declarations one after another: %s)", manyQueues, created,
		createManyLimit, bare)
	t.Logf("plan without changes: %s, limit %s (without the queues: %s), calls: %q", planned, planManyLimit, without, calls)
	if declarations != manyQueues {
		t.Errorf("%d declarations, want %d", declarations, manyQueues)
	}
	if want := "GET /api/queues/%2F"; len(calls) != 1 || calls[0] != want {
		t.Errorf("the plan calls %q, want %q and nothing else", calls, want)
	}
	// On a machine that is busy with something else, terraform's own start takes longer than the limit.
	if slack := max(0, without-time.Second); planned > planManyLimit+slack {
		t.Errorf("the plan took %s, limit %s", planned, planManyLimit)
	}
	if slack := max(0, without-time.Second) + max(0, bare-3*time.Second); created > createManyLimit+slack {
		t.Errorf("the creation took %s, limit %s", created, createManyLimit)
	}
	c.run("destroy")
	nothingIsLeft(t, directory)
}

func timed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin).Round(10 * time.Millisecond)
}

// bareDeclarations is how long as many declarations take one after another.
func bareDeclarations(t *testing.T, management *management.Client) time.Duration {
	t.Helper()
	ctx := context.Background()
	took := timed(func() {
		for i := range manyQueues {
			if err := management.DeclareQueue(ctx, fmt.Sprintf("bare-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	for i := range manyQueues {
		if err := management.DeleteQueue(ctx, fmt.Sprintf("bare-%d", i), false); err != nil {
			t.Fatal(err)
		}
	}
	return took
}
