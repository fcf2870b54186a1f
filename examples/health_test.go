//go:build e2e

package examples

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// healthConfiguration has servers, a requester, and the look at them in every plan and apply.
func healthConfiguration(directory string) string {
	return brokerOnly(directory, `
resource "autopkgtest_swift_server" "store" {}

resource "autopkgtest_broker_user" "britney" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "britney"
  role   = "requester"
}

data "autopkgtest_queues" "all" {
  broker     = autopkgtest_rabbitmq_server.broker.broker
  depends_on = [autopkgtest_rabbitmq_server.broker]
}

data "autopkgtest_health" "cloud" {
  broker                     = autopkgtest_rabbitmq_server.broker.broker
  requester_credentials_file = autopkgtest_broker_user.britney.credentials_file
  store                      = autopkgtest_swift_server.store.store

  depends_on = [
    autopkgtest_rabbitmq_server.broker,
    autopkgtest_swift_server.store,
    autopkgtest_broker_user.britney,
  ]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = "The test cloud does not work:\n${join("\n", self.problems)}"
    }
  }
}

ephemeral "autopkgtest_broker_credentials" "britney" {
  credentials_file = autopkgtest_broker_user.britney.credentials_file
}
`)
}

// TestHealthOfAStack: the look fails a plan when something is wrong that the plan does not repair, and is in the way of
// nothing else: not of the first plan, a repair, a destroy, or a plan after that.
func TestHealthOfAStack(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	directory := newStack(t)
	c.write("main.tf", healthConfiguration(directory))
	c.run("plan") // of what is not there yet
	c.run("apply")
	c.planIsEmpty()

	policy := func(method, body string) {
		t.Helper()
		account, err := config.ReadBroker(c.output("credentials"))
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(method, c.output("management")+"/api/policies/%2F/swallow", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(account.Username, account.Password.Reveal())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode >= 300 {
			t.Fatalf("%s of a policy: %s, %v", method, answer.Status, err)
		}
	}
	swallow := func() {
		t.Helper()
		policy(http.MethodPut, `{"pattern": ".*", "definition": {"message-ttl": 0}, "apply-to": "queues"}`)
	}
	swallow() // everybody's messages vanish, and nobody is told
	for _, command := range []string{"plan", "apply"} {
		if out, err := c.try(command); err == nil || !strings.Contains(out, "did not arrive") {
			t.Errorf("%s of a broker that loses messages: %v\n%s", command, err, out)
		}
	}
	policy(http.MethodDelete, "")
	c.planIsEmpty()

	// The whole stack is gone behind Terraform's back.
	if err := host.Sweep(context.Background(), directory); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(directory); err == nil {
		t.Fatal("the stack is still there")
	}
	if plan := c.run("plan"); strings.Contains(plan, "No changes") {
		t.Errorf("the plan of a stack that is gone:\n%s", plan)
	}
	c.run("apply")
	c.planIsEmpty()

	passwords := passwordsOf(t, directory)
	state := c.run("state", "pull")
	swallow()
	c.run("destroy")
	nothingIsLeft(t, directory)
	if plan := c.run("plan"); !strings.Contains(plan, "3 to add") {
		t.Errorf("the plan of a destroyed stack:\n%s", plan)
	}
	holdNone(t, passwords, map[string]string{"the state": state})
}
