//go:build acceptance

package provider

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestAccWithoutVirtualHost: whoever removes the virtual host of all clients takes the queues with it. The plan says so, the
// apply stops at the broker, and what is made anew is filled again.
func TestAccWithoutVirtualHost(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	d, err := host.Create(t.Context(), host.Options{Path: directory, Stack: "vhost", Account: account})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := rabbitmq.Apply(t.Context(), d, rabbitmq.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	administrator, err := config.ReadBroker(broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	configuration := providerBlock("vhost", directory) + fmt.Sprintf(`
resource "autopkgtest_request_queues" "test" {
  broker = {
    management_url   = %q
    credentials_file = %q
  }
  releases      = ["noble"]
  architectures = ["amd64"]
}
`, broker.ManagementURL, broker.CredentialsFile)
	call := func(method, path, body string) {
		t.Helper()
		request, err := http.NewRequest(method, broker.ManagementURL+"/api/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(administrator.Username, administrator.Password.Reveal())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode >= 300 {
			t.Fatalf("%s %s: %s, %v", method, path, answer.Status, err)
		}
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{
			PreConfig:   func() { call(http.MethodDelete, "vhosts/%2F", "") },
			Config:      configuration,
			ExpectError: regexp.MustCompile(`The broker has no virtual host /[\s\S]*rabbitmqctl\s+add_vhost`),
		},
		{
			PreConfig: func() {
				call(http.MethodPut, "vhosts/%2F", "")
				call(http.MethodPut, "permissions/%2F/"+administrator.Username, `{"configure": ".*", "write": ".*", "read": ".*"}`)
			},
			Config: configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(queuesAddress, plancheck.ResourceActionUpdate)},
			},
		},
	}})
}
