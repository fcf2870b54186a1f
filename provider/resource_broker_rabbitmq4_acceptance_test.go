//go:build acceptance && slow

package provider

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// TestAccRabbitMQ4 hardens the RabbitMQ 4 that scripts/with-rabbitmq4 starts, as Debian's package leaves it, and says first what
// does not work with it.
func TestAccRabbitMQ4(t *testing.T) {
	ctx := t.Context()
	u, err := url.Parse(os.Getenv("AUTOPKGTEST_TEST_RABBITMQ4"))
	if err != nil || u.User == nil {
		t.Fatal("AUTOPKGTEST_TEST_RABBITMQ4 is not set: run this with make broker-long")
	}
	password, _ := u.User.Password()
	name := u.User.Username()
	u.User = nil
	beginning, err := management.New(u.String(), name, config.Secret(password))
	if err != nil {
		t.Fatal(err)
	}
	administrator := management.User{Name: "boss", PasswordHash: management.HashPassword("secret4"), Tags: []string{"administrator"}}
	if err := beginning.PutUser(ctx, administrator); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "boss")
	account := config.Broker{Username: "boss", Password: "secret4", Host: u.Hostname()}
	if err := os.WriteFile(file, account.File(config.KeyURI), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := management.New(u.String(), "boss", "secret4")
	if err != nil {
		t.Fatal(err)
	}
	const address = "autopkgtest_broker.test"
	configuration := func(extra string) string {
		return fmt.Sprintf(`
provider "autopkgtest" {}
locals {
  broker = {
    management_url   = %q
    credentials_file = %q
  }
}
resource "autopkgtest_broker" "test" {
  broker      = local.broker
  max_queues  = 1000
  %s
}
resource "autopkgtest_request_queues" "test" {
  broker        = local.broker
  releases      = ["rel"]
  architectures = ["amd64"]
  depends_on    = [autopkgtest_broker.test]
}
resource "autopkgtest_broker_user" "test" {
  broker           = local.broker
  name             = "the-worker"
  role             = "worker"
  credentials_file = %q
  depends_on       = [autopkgtest_broker.test]
}
`, u, file, extra, filepath.Join(t.TempDir(), "worker"))
	}
	good := configuration("require_amqp_0_8 = false")
	steps := []resource.TestStep{
		{Config: configuration(""), PlanOnly: true, ExpectError: words(`RabbitMQ 4\.\S+ does not speak AMQP 0-8(.|\n)*britney(.|\n)*require_amqp_0_8 = false`)},
		{
			Config: good,
			Check: func(*terraform.State) error {
				if _, err := client.User(ctx, guest); err == nil {
					return fmt.Errorf("guest is there")
				}
				limits, err := client.Limits(ctx)
				if limits[management.MaxQueues] != 1000 {
					return fmt.Errorf("limits %v, %w", limits, err)
				}
				return nil
			},
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
	}
	for reason, damage := range map[string]func() error{
		"the policy autopkgtest-listeners is missing": func() error {
			return client.DeletePolicy(ctx, new(brokerResourceModel).queuePolicies()[0])
		},
		"testcomplete.fanout is missing": func() error { return client.DeleteExchange(ctx, "testcomplete.fanout") },
		"the user guest is there": func() error {
			return client.PutUser(ctx, management.User{Name: guest, PasswordHash: management.HashPassword(guest)})
		},
	} {
		steps = append(steps, repaired(address, reason, good, func() {
			if err := damage(); err != nil {
				t.Error(err)
			}
		})...)
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}
