//go:build acceptance

package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// TestAccBrokerUserOverTLS: tls_endpoint is handed from the server to its users, whose sessions then are over TLS; and back. What
// names only the certificate's text has a file of its own, which goes when it is of no use.
func TestAccBrokerUserOverTLS(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	worker := filepath.Join(directory, "credentials", "worker")
	requester := filepath.Join(directory, "credentials", "requester")
	configuration := func(endpoint string) string {
		return providerBlock("secure", directory) + fmt.Sprintf(`
resource "autopkgtest_rabbitmq_server" "test" {
  tls = {}
}
resource "autopkgtest_broker_user" "test" {
  broker = autopkgtest_rabbitmq_server.test.broker
  name   = "worker"
  role   = "worker"
  %[1]s
}
resource "autopkgtest_broker_user" "requester" {
  broker = autopkgtest_rabbitmq_server.test.broker
  name   = "requester"
  role   = "requester"
  %[1]s
}
`, endpoint)
	}
	secure, plain := configuration("tls_endpoint = autopkgtest_rabbitmq_server.test.tls_endpoint"), configuration("")
	written := func(address string) string {
		return configuration(fmt.Sprintf("tls_endpoint = {\n address = %s\n"+
			"ca_certificate = autopkgtest_rabbitmq_server.test.tls_endpoint.ca_certificate\n}", address))
	}
	nowhere, text := written(`"127.0.0.1:1"`), written("autopkgtest_rabbitmq_server.test.tls_endpoint.address")
	noCopy := func() {
		if left := existing([]string{config.AuthorityFile(requester)}); len(left) > 0 {
			t.Errorf("%v is there, without credentials that need it", left)
		}
	}
	leads := func(over, beside bool) resource.TestCheckFunc {
		return func(state *terraform.State) error {
			server := state.RootModule().Resources[serverAddress].Primary.Attributes
			for _, file := range []string{worker, requester} {
				account, err := config.ReadBroker(file)
				if err != nil {
					return err
				}
				authority := server["tls_endpoint.ca_file"]
				if beside {
					authority = config.AuthorityFile(file)
				}
				if account.TLS != over || over && (account.CAFile != authority || account.Address() != server["tls_endpoint.address"]) {
					return fmt.Errorf("%s leads to %s, TLS %v, with the authority %q", file, account.Address(), account.TLS, account.CAFile)
				}
				session, err := queue.Dial(t.Context(), account)
				if err != nil {
					return err
				}
				if err := session.Close(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	update := resource.ConfigPlanChecks{
		PreApply: []plancheck.PlanCheck{
			plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate),
			plancheck.ExpectResourceAction(serverAddress, plancheck.ResourceActionNoop),
		},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
	steps := []resource.TestStep{
		{Config: nowhere, ExpectError: regexp.MustCompile(`(?s)127\.0\.0\.1:1.*connection\s+refused`)},
		{PreConfig: noCopy, Config: secure, Check: leads(true, false)},
		{Config: plain, Check: leads(false, false), ConfigPlanChecks: update},
		{Config: text, Check: leads(true, true), ConfigPlanChecks: update},
		{Config: secure, Check: leads(true, false), ConfigPlanChecks: update},
		{PreConfig: noCopy, Config: secure},
	}
	steps = append(steps, repaired(userAddress, "leads to another broker", secure, func() {
		account, err := config.ReadBroker(worker)
		if err == nil {
			account.CAFile = ""
			err = config.ReplaceCredentials(worker, account.File(management.Worker.Key()))
		}
		if err != nil {
			t.Error(err)
		}
	})...)
	steps[len(steps)-1].Check = leads(true, false)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

func TestAccBrokerUserEndpointRefused(t *testing.T) {
	t.Parallel()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		endpoint string
		want     string
		applied  bool
	}{
		"no port":            {`{ address = "broker.example" }`, `"broker.example": write it as HOST:5671`, false},
		"a port that is not": {`{ address = "broker.example:70000" }`, `write it as HOST:5671`, false},
		"no address":         {`{}`, `attribute "address" is required`, false},
		"a relative path":    {`{ address = "h:1", ca_file = "ca.pem" }`, `"ca.pem" is relative`, false},
		"another machine's":  {`{ address = "h:1", ca_file = "ssh://root@a/ca.pem" }`, `Write the certificate itself into ca_certificate`, false},
		"no name of a file":  {`{ address = "h:1", ca_file = "ssh://root@a" }`, `write it as ssh://USER@HOST:PORT/ABSOLUTE/PATH`, false},
		"a text that is not": {`{ address = "h:1", ca_certificate = "none" }`, `write it in PEM form`, false},
		"no certificate":     {fmt.Sprintf(`{ address = "127.0.0.1:1", ca_file = %q }`, authority), `no certificate in PEM form`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shared(t)
			user := unique("endpoint")
			configuration := strings.Replace(userConfiguration(s, user, "requester"), "role ", "tls_endpoint = "+tc.endpoint+"\n  role ", 1)
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: configuration, PlanOnly: !tc.applied,
				ExpectError: regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(tc.want), " ", `\s+`)),
			}}})
			if _, err := os.Lstat(filepath.Join(s.directory, "credentials", user)); err == nil {
				t.Error("credentials that do not work were handed out")
			}
		})
	}
}

// TestAccBrokerUserAdvertised: the credentials lead to a host that does not answer here, as a floating IP does, while the account is tried
// at the broker's own; and back.
func TestAccBrokerUserAdvertised(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := unique("user")
	configuration := func(lines string) string {
		return strings.Replace(userConfiguration(s, name, "requester"), "  name ", lines+"\n  name ", 1)
	}
	file := filepath.Join(s.directory, "credentials", name)
	var own string
	leads := func(host string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			account, err := config.ReadBroker(file)
			if host == "" {
				host = own
			}
			if own == "" {
				own = account.Host
			}
			if err == nil && (account.Host != host && host != "" || account.Others != "") {
				err = fmt.Errorf("the credentials lead to %s, and to others: %q", account.Host, account.Others)
			}
			return err
		}
	}
	update := resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
	steps := []resource.TestStep{
		{Config: configuration(`advertised_host = "broker:5672"`), ExpectError: regexp.MustCompile(`host name or an\s+IP`)},
		{
			Config:      configuration("advertised_host = \"broker\"\ntls_endpoint = { address = \"broker:5671\" }"),
			ExpectError: regexp.MustCompile(`cannot be specified when`),
		},
		{Config: configuration(""), Check: leads("")},
		{Config: configuration(`advertised_host = "192.0.2.1"`), Check: leads("192.0.2.1"), ConfigPlanChecks: update},
		{Config: configuration(`advertised_host = "broker.example.com"`), Check: leads("broker.example.com"), ConfigPlanChecks: update},
		{Config: configuration(""), Check: leads(""), ConfigPlanChecks: update},
		{Config: configuration(`advertised_host = "192.0.2.1"`), Check: leads("192.0.2.1"), ConfigPlanChecks: update},
	}
	steps = append(steps, repaired(userAddress, "holds other credentials", configuration(`advertised_host = "192.0.2.1"`), func() {
		account, err := config.ReadBroker(file)
		if err == nil {
			account.Host = "192.0.2.2"
			err = config.ReplaceCredentials(file, account.File(management.Requester.Key()))
		}
		if err != nil {
			t.Error(err)
		}
	})...)
	steps = append(steps, resource.TestStep{Config: configuration(`advertised_host = "192.0.2.1"`), Check: leads("192.0.2.1")})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}
