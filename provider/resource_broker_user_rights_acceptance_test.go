//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func patternsConfiguration(s *sharedStack, name, configure, write, read string) string {
	return s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker = BROKER
  name   = %q
  permissions = {
    configure = %q
    write     = %q
    read      = %q
  }
}
`, name, configure, write, read)
}

func hasPermissions(s *sharedStack, name string, want management.Permissions) resource.TestCheckFunc {
	return func(*terraform.State) error {
		got, err := s.management.Permissions(context.Background(), name)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("permissions: %s", diff)
		}
		return nil
	}
}

func TestAccBrokerUserPermissions(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	name := unique("user")
	updated := resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
	second := patternsConfiguration(s, name, "", `^(?!amq\.).*$`, "^debci-noble-.*$")
	steps := []resource.TestStep{
		{
			Config: patternsConfiguration(s, name, "^$", `^amq\.default$`, "^$"),
			Check:  hasPermissions(s, name, management.Permissions{Configure: "^$", Write: `^amq\.default$`, Read: "^$"}),
		},
		{ // one that only the broker can judge
			Config: second, ConfigPlanChecks: updated,
			Check: hasPermissions(s, name, management.Permissions{Write: `^(?!amq\.).*$`, Read: "^debci-noble-.*$"}),
		},
	}
	steps = append(steps, repaired(userAddress, `may configure ".\*", .*which is not what is\s+configured`, second, func() {
		if err := s.management.PutPermissions(ctx, name, management.Permissions{Configure: ".*"}); err != nil {
			t.Error(err)
		}
	})...)
	steps = append(steps,
		resource.TestStep{ // the broker refuses it: the user keeps what it has
			Config:      patternsConfiguration(s, name, "", `^(?<!x$`, "^$"),
			ExpectError: regexp.MustCompile(`(?s)permissions = .*the\s+broker\s+does\s+not\s+understand\s+the\s+pattern\s+"\^\(\?<!x\$":\s+missing\s+\)`),
		},
		resource.TestStep{
			Config: second, Check: hasPermissions(s, name, management.Permissions{Write: `^(?!amq\.).*$`, Read: "^debci-noble-.*$"}),
		},
		resource.TestStep{ // a role takes their place
			Config: userConfiguration(s, name, "monitor"), ConfigPlanChecks: updated,
			Check: func(*terraform.State) error {
				u, err := s.management.User(ctx, name)
				if err == nil && !sameTags(u.Tags, management.Monitor.Tags()) {
					err = fmt.Errorf("tags %v", u.Tags)
				}
				return err
			},
		},
		resource.TestStep{Config: second, ConfigPlanChecks: updated, Check: func(*terraform.State) error {
			u, err := s.management.User(ctx, name)
			if err == nil && !sameTags(u.Tags, management.OurTags) {
				err = fmt.Errorf("tags %v", u.Tags)
			}
			return err
		}},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

func TestAccBrokerUserRefusesPermissions(t *testing.T) {
	t.Parallel()
	s := shared(t)
	refused := unique("user")
	for name, tc := range map[string]struct{ configuration, want string }{
		"a group without an end": {
			patternsConfiguration(s, unique("user"), "^$", "^(debci-.*$", "^$"),
			`(?s)Not a pattern of names.*missing\s+closing\s+\)\s+in\s+"\^\(debci`,
		},
		"a set the wrong way": {
			patternsConfiguration(s, unique("user"), "^$", "^$", "^[z-a]$"), `(?s)Not a pattern of names.*invalid\s+character\s+class\s+range`,
		},
		"role and permissions": {s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker      = BROKER
  name        = "x"
  role        = "worker"
  permissions = { configure = "", write = "", read = "" }
}
`), `(?s)permissions = .*"role"\s+cannot\s+be\s+specified\s+when\s+"permissions"`},
		"neither": {s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker = BROKER
  name   = "x"
}
`), `At least one attribute\s+out of \[permissions,role\] must be specified`},
		"half of them": {s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker      = BROKER
  name        = "x"
  permissions = { configure = "" }
}
`), `(?s)attributes "read" and\s+"write"\s+are\s+required`},
		"what the broker refuses": {
			patternsConfiguration(s, refused, "^$", "^(?<!x$", "^$"), `(?s)permissions = .*does\s+not\s+understand\s+the\s+pattern`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration, ExpectError: regexp.MustCompile(tc.want),
			}}})
		})
	}
	t.Cleanup(func() {
		if _, err := s.management.User(context.Background(), refused); !errors.Is(err, management.ErrNotFound) {
			t.Errorf("the refused user is half made: %v", err)
		}
		if found, _ := filepath.Glob(filepath.Join(s.directory, "credentials", refused)); len(found) > 0 {
			t.Errorf("the refused user has a credentials file: %v", found)
		}
	})
}
