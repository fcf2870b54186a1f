//go:build acceptance

package provider

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
)

const serverAddress = "autopkgtest_rabbitmq_server.test"

func serverConfiguration(directory, attributes string) string {
	return providerBlock("acc", directory) + fmt.Sprintf("resource \"autopkgtest_rabbitmq_server\" \"test\" {\n%s\n}\n", attributes)
}

// TestAccRabbitMQServerRefuses: each attribute says in the plan what is wrong with it, and nothing is begun.
func TestAccRabbitMQServerRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	key := filepath.Join(folder, "key.pem")
	if err := os.WriteFile(key, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	given := func(certificate, key, ca string) string {
		return fmt.Sprintf("tls = {\n certificate_file = %q\n key_file = %q\n ca_file = %q\n}", certificate, key, ca)
	}
	cluster := func(address, members, cookie string) string {
		return fmt.Sprintf("cluster = {\n address = %q\n members = [\"%s\"]\n cookie_file = %q\n}", address, members, cookie)
	}
	for name, tc := range map[string]struct{ attributes, want string }{
		"a timeout that is none":         {`delivery_timeout = "long"`, `delivery_timeout(.|\n)*"long" is not a duration`},
		"a timeout below a tick":         {`delivery_timeout = "10s"`, `delivery_timeout(.|\n)*Use 1m0s to`},
		"a timeout in parts":             {`delivery_timeout = "61.0000001s"`, `delivery_timeout(.|\n)*whole milliseconds`},
		"a port that is none":            {`port = 70000`, `port(.|\n)*between 1 and 65535`},
		"a name to listen on":            {`listen = ["localhost"]`, `listen(.|\n)*"localhost": write an address of this machine`},
		"an address that we do not have": {`listen = ["127.0.0.9", "192.0.2.77"]`, `listen(.|\n)*the address "192.0.2.77" cannot be listened on(.|\n)*ip address`},
		"an address twice":               {`listen = ["127.0.0.9", "127.0.0.9"]`, `listen(.|\n)*is there twice`},
		"all, and one":                   {`listen = ["0.0.0.0", "127.0.0.9"]`, `listen(.|\n)*stands for all addresses`},
		"no address":                     {`listen = []`, `listen(.|\n)*at least 1`},
		"half of the files":              {"tls = {\n key_file = \"/x\"\n}", `Attribute "tls.certificate_file" must be specified`},
		"names in a given certificate": {strings.Replace(given("/x", "/y", "/z"), "\n}", "\n names = [\"a\"]\n}", 1),
			`"tls.certificate_file" cannot be specified when "tls.names"`},
		"a name that is none":           {"tls = {\n names = [\"a b\"]\n}", `"a b": write a host name`},
		"a certificate that is missing": {given("/nonexistent/c", key, key), `the file /nonexistent/c cannot be read`},
		"a key for everybody":           {given(key, key, key), `can be read by every account`},
		"one port for two":              {"tls = {\n port = 5672\n}", `Plain AMQP has the port 5672`},
		"one port for two more":         {"tls = {\n management_listen = \"127.0.0.1\"\n management_port = 5671\n}", `AMQP has the port 5671`},
		"a port, and no address":        {"tls = {\n management_port = 5671\n}", `"tls.management_listen" must be specified`},
		"management elsewhere":          {"tls = {\n management_listen = \"192.0.2.77\"\n}", `"192.0.2.77" cannot be listened on`},
		"all the memory":                {`memory_watermark = "100%"`, `memory_watermark(.|\n)*1% to 80%`},
		"more memory than there is":     {`memory_watermark = "1000T"`, `memory_watermark(.|\n)*this machine has \d+ MiB`},
		"memory in other words":         {`memory_watermark = "much"`, `memory_watermark(.|\n)*"much" is not a size`},
		"no room on the disk":           {`disk_free_limit = "1000T"`, `MiB left(.|\n)*disk_free_limit(.|\n)*choose a folder on another disk`},
		"no reserve":                    {`disk_free_limit = "1M"`, `disk_free_limit(.|\n)*at least 64M`},
		"a member that is not one":      {cluster("127.0.0.9", "127.0.0.8", "/nonexistent/x"), `the address "127.0.0.9" is not among the members`},
		"a member twice":                {cluster("127.0.0.9", `127.0.0.9", "127.0.0.9`, "/nonexistent/x"), `the member "127.0.0.9" is there twice`},
		"two members":                   {cluster("127.0.0.9", `127.0.0.9", "127.0.0.8`, "/nonexistent/x"), `Two members are less than one(.|\n)*Make three`},
		"a member by name":              {cluster("127.0.0.9", `127.0.0.9", "broker`, "/nonexistent/x"), `"broker": write an address`},
		"a member for everybody":        {cluster("127.0.0.9", `127.0.0.9", "203.0.113.7`, "/nonexistent/x"), `is a public address(.|\n)*WireGuard`},
		"a member elsewhere":            {cluster("192.0.2.77", "192.0.2.77", "/nonexistent/x"), `is a public address|cannot be listened on`},
		"a cookie for everybody":        {cluster("127.0.0.9", "127.0.0.9", key), `the cookie .*key.pem can be read by other accounts`},
		"no log":                        {`log_size = "1K"`, `log_size(.|\n)*64K to 1G`},
		"no files of the log":           {`log_files = 0`, `log_files(.|\n)*between 1 and 1000`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newStack(t)
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: serverConfiguration(directory, tc.attributes), PlanOnly: true, ExpectError: words(tc.want),
			}}})
			if _, err := os.Lstat(directory); err == nil {
				t.Error("a plan has made the folder")
			}
		})
	}
}

// TestAccRabbitMQServerChanges is each attribute's life, on one node: made, updated, imported, adopted without a state, drifted.
func TestAccRabbitMQServerChanges(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	ports := struct{ amqp, tls, management int }{17671, 17673, 17674}
	if err := errors.Join(host.CheckPort("127.0.0.1", ports.amqp), host.CheckPort("127.0.0.9", ports.tls),
		host.CheckPort("127.0.0.9", ports.management)); err != nil {
		t.Fatal(err)
	}
	first := serverConfiguration(directory, `
  delivery_timeout = "40h"
  memory_watermark = "30%"
  disk_free_limit  = "128M"
  log_size         = "1M"
  log_files        = 3
`)
	second := serverConfiguration(directory, fmt.Sprintf(`
  delivery_timeout = "50h"
  listen           = ["127.0.0.9", "::1"]
  port             = %d
  memory_watermark = "512M"
  disk_free_limit  = "256M"
  log_size         = "2M"
  log_files        = 4
  tls = {
    port              = %d
    names             = ["broker.example"]
    management_listen = "127.0.0.9"
    management_port   = %d
  }
`, ports.amqp, ports.tls, ports.management))
	check := resource.TestCheckResourceAttr
	trusted := func(state *terraform.State) error {
		attributes := state.RootModule().Resources[serverAddress].Primary.Attributes
		ca, err := os.ReadFile(attributes["tls_endpoint.ca_file"])
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		for _, name := range []string{"127.0.0.9", "broker.example"} {
			connection, err := tls.Dial("tcp", attributes["tls_endpoint.address"], &tls.Config{RootCAs: roots, ServerName: name})
			if err != nil {
				return fmt.Errorf("as %s: %w", name, err)
			}
			_ = connection.Close()
		}
		return nil
	}
	updated := resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(serverAddress, plancheck.ResourceActionUpdate)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
	steps := []resource.TestStep{
		{
			Config: first,
			Check: resource.ComposeAggregateTestCheckFunc(check(serverAddress, "status", running),
				check(serverAddress, "delivery_timeout", "40h"), resource.TestCheckNoResourceAttr(serverAddress, "tls_endpoint.address")),
		},
		{
			ResourceName: serverAddress, ImportState: true, ImportStateId: directory, ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory", ImportStateVerifyIgnore: []string{"timeouts"},
		},
		{
			Config: second, ConfigPlanChecks: updated,
			Check: resource.ComposeAggregateTestCheckFunc(
				check(serverAddress, "broker.host", "127.0.0.9"), check(serverAddress, "broker.port", fmt.Sprint(ports.amqp)),
				check(serverAddress, "tls_endpoint.management_url", fmt.Sprintf("https://127.0.0.9:%d", ports.management)), trusted),
		},
	}
	damage := func(reason string, f func() error) {
		added := repaired(serverAddress, reason, second, func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
		added[1].Check = trusted
		steps = append(steps, added...)
	}
	service := filepath.Join(directory, "services", rabbitmq.Service)
	damage("tls/server-key.pem", func() error { return os.Remove(filepath.Join(service, "tls/server-key.pem")) })
	damage("tls/server.pem", func() error { return os.WriteFile(filepath.Join(service, "tls/server.pem"), nil, 0o644) })
	damage("etc/rabbitmq.conf", func() error {
		return appendTo(filepath.Join(service, "etc/rabbitmq.conf"), "listeners.tcp.9 = 0.0.0.0:1234\n")
	})
	damage("log/rabbitmq/config", func() error { return os.Remove(filepath.Join(directory, "log/rabbitmq/config")) })
	steps = append(steps, resource.TestStep{
		Config: first, ConfigPlanChecks: updated,
		Check: resource.ComposeAggregateTestCheckFunc(resource.TestCheckNoResourceAttr(serverAddress, "tls_endpoint.address"),
			resource.TestMatchResourceAttr(serverAddress, "broker.host", regexp.MustCompile(`^127\.77\.`))),
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if _, err := os.Lstat(directory); err == nil {
		t.Error("the destroy leaves the folder behind")
	}
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
