//go:build acceptance

package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func TestAccQueues(t *testing.T) {
	t.Parallel()
	s := shared(t)
	release := unique("rel")
	name := "debci-huge-" + release + "-amd64"
	configuration := queuesConfiguration(s, fmt.Sprintf("%q", release), "allow_message_loss = true") + s.expand(`
data "autopkgtest_queues" "test" {
  broker     = BROKER
  depends_on = [autopkgtest_request_queues.test]
}

# An age changes from look to look, in whole hours it does not.
output "queue" {
  value = one([for q in data.autopkgtest_queues.test.queues : merge(q, {
    oldest_age = q.oldest_age == null ? null : q.oldest_age - q.oldest_age % 3600
  }) if q.name == "`+name+`"])
}
`)
	queue := func(values map[string]knownvalue.Check) []statecheck.StateCheck {
		var checks []statecheck.StateCheck
		for key, value := range values {
			checks = append(checks, statecheck.ExpectKnownOutputValueAtPath("queue", tfjsonpath.New(key), value))
		}
		return checks
	}
	sent := time.Now().Add(-time.Hour).Truncate(time.Second)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: configuration,
			ConfigStateChecks: queue(map[string]knownvalue.Check{
				"context": knownvalue.StringExact("huge"), "release": knownvalue.StringExact(release),
				"architecture": knownvalue.StringExact("amd64"), "ready": knownvalue.Int64Exact(0), "running": knownvalue.Int64Exact(0),
				"consumers": knownvalue.Int64Exact(0), "oldest_age": knownvalue.Null(), "oldest_at": knownvalue.Null(),
				"empty_at": knownvalue.Null(),
			}),
		},
		{
			PreConfig: func() {
				publishAt(t, s, name, sent)
				publish(t, s, name)
				take(t, s, name)
				await(t, "the broker's statistics have the queue", func() bool {
					loads, err := s.management.QueueLoads(context.Background())
					return err == nil && loads[name].Oldest.Equal(sent)
				})
			},
			Config: configuration,
			ConfigStateChecks: queue(map[string]knownvalue.Check{
				"ready": knownvalue.Int64Exact(1), "running": knownvalue.Int64Exact(1),
				"oldest_at":  knownvalue.StringExact(sent.UTC().Format(time.RFC3339)),
				"oldest_age": knownvalue.Int64Exact(3600),
			}),
		},
	}})
}

// publishAt is publish with the time at which the sender says to have sent it.
func publishAt(t *testing.T, s *sharedStack, name string, at time.Time) {
	t.Helper()
	account, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := published(channel, "", name, amqp.Publishing{Timestamp: at, DeliveryMode: amqp.Persistent, Body: []byte("gzip\n{}")}); err != nil {
		t.Fatal(err)
	}
}

// await waits for what the broker does in its own time.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-ticker.C {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// TestAccQueuesUnseen: what cannot be looked at stops no plan, and what can never be is an error.
func TestAccQueuesUnseen(t *testing.T) {
	t.Parallel()
	s := shared(t)
	configuration := func(broker string) string {
		return providerBlock(sharedName, s.directory) + `
data "autopkgtest_queues" "test" {
  broker = ` + broker + `
}
`
	}
	nobody := strings.Replace(s.brokerHCL, s.broker.ManagementURL, "http://127.0.0.1:1", 1)
	gone := strings.Replace(nobody, s.broker.CredentialsFile, filepath.Join(t.TempDir(), "gone"), 1)
	nothing := []statecheck.StateCheck{
		statecheck.ExpectKnownValue("data.autopkgtest_queues.test", tfjsonpath.New("queues"), knownvalue.Null()),
		statecheck.ExpectKnownValue("data.autopkgtest_queues.test", tfjsonpath.New("ready"), knownvalue.Null()),
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration(nobody), ConfigStateChecks: nothing},
		{Config: configuration(gone), ConfigStateChecks: nothing},
		{
			Config:      configuration(strings.Replace(s.brokerHCL, s.broker.ManagementURL, "amqp://127.0.0.1", 1)),
			ExpectError: regexp.MustCompile(`not the address of a\s+management\s+API`),
		},
	}})
}

func TestAccHealth(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := unique("requester")
	configuration := func(changes ...string) string {
		return strings.NewReplacer(changes...).Replace(s.configuration(`
resource "autopkgtest_broker_user" "requester" {
  broker = BROKER
  name   = %q
  role   = "requester"
}

data "autopkgtest_health" "test" {
  broker                     = BROKER
  requester_credentials_file = autopkgtest_broker_user.requester.credentials_file
  store                      = STORE
  depends_on                 = [autopkgtest_broker_user.requester]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = join("; ", self.problems)
    }
  }
}
`, name))
	}
	const address = "data.autopkgtest_health.test"
	well := []statecheck.StateCheck{
		statecheck.ExpectKnownValue(address, tfjsonpath.New("healthy"), knownvalue.Bool(true)),
		statecheck.ExpectKnownValue(address, tfjsonpath.New("problems"), knownvalue.ListSizeExact(0)),
		statecheck.ExpectKnownValue(address, tfjsonpath.New("checks"), knownvalue.ListSizeExact(3)),
		statecheck.ExpectKnownValue(address, tfjsonpath.New("checks").AtSliceIndex(1).AtMapKey("detail"),
			knownvalue.StringRegexp(regexp.MustCompile(management.DialectGatekeeper))),
	}
	permissions := func(p management.Permissions) func() {
		return func() {
			if err := s.management.PutPermissions(context.Background(), name, p); err != nil {
				t.Error(err)
			}
		}
	}
	right := management.Requester.Permissions()
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration(), ConfigStateChecks: well},
		{Config: configuration(), PlanOnly: true},
		{ // damage that the resource sees is repaired, and not in the way of the repair
			PreConfig: permissions(management.Permissions{Configure: "^$", Write: "^$", Read: "^$"}),
			Config:    configuration(), ConfigStateChecks: well,
		},
		{ // what no resource of this configuration answers for fails the plan
			Config:      configuration(s.storeHCL, strings.Replace(s.storeHCL, s.store.CredentialsFile, "/nowhere/store", 1)),
			ExpectError: regexp.MustCompile(`store:[\s\S]*/nowhere/store`),
		},
		{
			Config:      configuration("  store ", "  web_url = \"http://127.0.0.1:1/\"\n  store "),
			ExpectError: regexp.MustCompile(`web:[\s\S]*connection\s+refused`),
		},
		{Config: configuration(), ConfigStateChecks: well},
	}})

	// The self-test by itself, with an account that may do more than a requester.
	user := config.Broker{Username: unique("mighty"), Password: config.NewSecret(), Host: s.broker.Host, Port: s.broker.Port}
	if err := ensureUser(context.Background(), s.management, user, rightsOfRole(management.Requester)); err != nil {
		t.Fatal(err)
	}
	if err := s.management.PutPermissions(context.Background(), user.Username,
		management.Permissions{Configure: right.Configure, Write: right.Write, Read: ".*"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mighty")
	if err := os.WriteFile(file, user.File(config.KeyGatekeeper), 0o600); err != nil {
		t.Fatal(err)
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
		Config: s.configuration(`
data "autopkgtest_health" "test" {
  broker                     = BROKER
  requester_credentials_file = %q
}
`, file),
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(address, tfjsonpath.New("healthy"), knownvalue.Bool(false)),
			statecheck.ExpectKnownValue(address, tfjsonpath.New("problems").AtSliceIndex(0),
				knownvalue.StringRegexp(regexp.MustCompile(`requester: .*can read from a queue`))),
		},
	}}})
}

func TestAccBrokerCredentials(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := unique("britney")
	ephemeral := s.configuration(`
resource "autopkgtest_broker_user" "britney" {
  broker = BROKER
  name   = %q
  role   = "requester"
}

ephemeral "autopkgtest_broker_credentials" "britney" {
  credentials_file = autopkgtest_broker_user.britney.credentials_file
}
`, name)
	echoed := ephemeral + `
provider "echo" {
  data = ephemeral.autopkgtest_broker_credentials.britney
}

resource "echo" "test" {}
`
	file := filepath.Join(s.directory, "credentials", name)
	with := map[string]func() (tfprotov6.ProviderServer, error){
		"autopkgtest": factories["autopkgtest"], "echo": echoprovider.NewProviderServer(),
	}
	var account config.Broker
	at := func(key string) tfjsonpath.Path { return tfjsonpath.New("data").AtMapKey(key) }
	same := func(want func() string) knownvalue.Check {
		return knownvalue.StringFunc(func(got string) error {
			if got != want() {
				return fmt.Errorf("another value than the file has") // neither is shown
			}
			return nil
		})
	}
	read := func(*terraform.State) (err error) {
		account, err = config.ReadBroker(file)
		return err
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: with, Steps: []resource.TestStep{
		{ // the first plan comes before the file
			Config: ephemeral,
			Check: func(state *terraform.State) error {
				if err := read(state); err != nil {
					return err
				}
				if strings.Contains(fmt.Sprintf("%+v", state), account.Password.Reveal()) {
					return fmt.Errorf("the password is in the state")
				}
				return nil
			},
		},
		{
			Config: echoed,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("echo.test", at("username"), knownvalue.StringExact(name)),
				statecheck.ExpectKnownValue("echo.test", at("host"), knownvalue.StringExact(s.broker.Host)),
				statecheck.ExpectKnownValue("echo.test", at("port"), knownvalue.Int64Exact(int64(s.broker.Port))),
				statecheck.ExpectKnownValue("echo.test", at("password"), same(func() string { return account.Password.Reveal() })),
				statecheck.ExpectKnownValue("echo.test", at("url"), same(func() string { return account.URI().Reveal() })),
				statecheck.ExpectKnownValue("echo.test", at("britney_conf"),
					same(func() string { return "ADT_AMQP = " + account.URI().Reveal() })),
				statecheck.ExpectKnownValue("echo.test", at("shell"),
					same(func() string { return "export ADT_AMQP='" + account.URI().Reveal() + "'" })),
			},
		},
	}})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config:      `ephemeral "autopkgtest_broker_credentials" "x" { credentials_file = "relative" }`,
			ExpectError: regexp.MustCompile(`is relative`),
		},
		{
			PreConfig: func() {
				if err := os.WriteFile(filepath.Join(scratch, name), []byte("amqp://u:p@h\n"), 0o644); err != nil {
					t.Error(err)
				}
			},
			Config: fmt.Sprintf("ephemeral \"autopkgtest_broker_credentials\" \"x\" {\n credentials_file = %q\n}\n",
				filepath.Join(scratch, name)),
			ExpectError: regexp.MustCompile(`has mode 0644`),
		},
	}})
}
