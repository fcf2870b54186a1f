//go:build acceptance

package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestAccHostCluster makes a cluster of two members here and one on another machine, which have the cookie that lies here.
func TestAccHostCluster(t *testing.T) {
	t.Parallel()
	m := newOtherMachine(t)
	here, beside, there := newStack(t), newStack(t), newStack(t)
	cookie := filepath.Join(t.TempDir(), "cookie")
	secret := strings.Repeat("Cookie7", 4)
	if err := os.WriteFile(cookie, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	member := func(name, place, directory string, number int, timeout string) string {
		address := func(number int) string { return fmt.Sprintf("127.89.%d.%d", os.Getpid()%250+1, number) }
		return fmt.Sprintf(`
resource "autopkgtest_rabbitmq_server" %q {
  %s
  directory        = %q
  delivery_timeout = %q
  cluster = {
    address     = %q
    members     = [%q, %q, %q]
    cookie_file = %q
  }
}
`, name, place, directory, timeout, address(number), address(1), address(2), address(3), cookie)
	}
	configuration := func(timeout string) string {
		return fmt.Sprintf("provider \"autopkgtest\" {\n stack = \"cluster\"\n binaries = %q\n}\n", programs) +
			member("here", "", here, 1, timeout) + member("beside", "", beside, 2, timeout) +
			member("there", hostBlock(m.Target), there, 3, timeout)
	}
	const one, other = "autopkgtest_rabbitmq_server.here", "autopkgtest_rabbitmq_server.there"
	empty := resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: []resource.TestStep{
		{
			Config: configuration("48h"), ConfigPlanChecks: empty,
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckResourceAttrPair(one, "broker.incarnation", other, "broker.incarnation"),
				resource.TestCheckResourceAttrPair(one, "broker.host", other, "broker.hosts.1"),
				resource.TestCheckResourceAttrPair(other, "broker.host", one, "broker.hosts.2"),
				func(state *terraform.State) error {
					got, err := os.ReadFile(filepath.Join(there, "services/rabbitmq/.erlang.cookie"))
					if err == nil && strings.TrimSpace(string(got)) != secret {
						err = errors.New("the other machine has another cookie")
					}
					if strings.Contains(state.String(), secret) {
						err = errors.New("the state holds the cookie")
					}
					return err
				},
			),
		},
		{ // all restart, one after the other: one could not serve alone
			Config: configuration("72h"), ConfigPlanChecks: empty,
			Check: resource.TestCheckResourceAttrPair(one, "broker.incarnation", other, "broker.incarnation"),
		},
	}})
	for _, folder := range []string{here, beside, there} {
		if _, err := os.Lstat(folder); err == nil {
			t.Errorf("%s is left behind", folder)
		}
	}
}
