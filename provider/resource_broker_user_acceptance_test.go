//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

const userAddress = "autopkgtest_broker_user.test"

func userConfiguration(s *sharedStack, name, role string) string {
	return s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker = BROKER
  name   = %q
  role   = %q
}
`, name, role)
}

// repaired plans an in-place update whose reason matches, applies it, and expects the next plan to be empty.
func repaired(address, reason, configuration string, damage func()) []resource.TestStep {
	return []resource.TestStep{
		{
			PreConfig:          damage,
			RefreshState:       true,
			ExpectNonEmptyPlan: true,
			Check:              resource.TestMatchResourceAttr(address, "status", regexp.MustCompile(reason)),
		},
		{
			Config: configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
		},
	}
}

func TestAccBrokerUserIsRepaired(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	name := unique("user")
	file := filepath.Join(s.directory, "credentials", name)
	configuration := userConfiguration(s, name, "worker")
	password := func() config.Secret {
		account, err := config.ReadBroker(file)
		if err != nil {
			t.Error(err)
		}
		return account.Password
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	var first config.Secret

	steps := []resource.TestStep{{
		Config: configuration,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(userAddress, tfjsonpath.New("status"), knownvalue.StringExact(inPlace)),
			statecheck.ExpectKnownValue(userAddress, tfjsonpath.New("credentials_file"), knownvalue.StringExact(file)),
		},
		Check: func(*terraform.State) error {
			first = password()
			return userIsRight(s, name, first, management.Worker)
		},
	}}
	keeps := func(steps []resource.TestStep) []resource.TestStep {
		steps[1].Check = func(*terraform.State) error {
			if password() != first {
				return fmt.Errorf("the password changed")
			}
			return userIsRight(s, name, first, management.Worker)
		}
		return steps
	}
	rotates := func(steps []resource.TestStep) []resource.TestStep {
		steps[1].Check = func(*terraform.State) error {
			if password() == first {
				return fmt.Errorf("the password is still the same")
			}
			first = password()
			return userIsRight(s, name, first, management.Worker)
		}
		return steps
	}
	steps = append(steps, keeps(repaired(userAddress, "missing in the broker", configuration, func() {
		must(s.management.DeleteUser(ctx, name))
	}))...)
	steps = append(steps, keeps(repaired(userAddress, "another password", configuration, func() {
		must(s.management.PutUser(ctx, management.User{
			Name: name, PasswordHash: management.HashPassword("mallory"), Tags: management.OurTags,
		}))
	}))...)
	steps = append(steps, keeps(repaired(userAddress, `may configure ".\*"`, configuration, func() {
		must(s.management.PutPermissions(ctx, name, management.Permissions{Configure: ".*", Write: ".*", Read: ".*"}))
	}))...)
	steps = append(steps, keeps(repaired(userAddress, "has the tags administrator", configuration, func() {
		u, err := s.management.User(ctx, name)
		must(err)
		u.Tags = []string{"administrator"}
		must(s.management.PutUser(ctx, u))
	}))...)
	steps = append(steps, rotates(repaired(userAddress, "is gone: the password will be replaced", configuration, func() {
		must(os.Remove(file))
	}))...)
	steps = append(steps, rotates(repaired(userAddress, "could be read by others", configuration, func() {
		must(os.Chmod(file, 0o644))
	}))...)
	steps = append(steps, rotates(repaired(userAddress, "is damaged", configuration, func() {
		must(os.WriteFile(file, []byte("nonsense\n"), 0o600))
	}))...)
	// The state is lost, the file is not.
	steps = append(steps,
		resource.TestStep{Config: s.configuration(`
removed {
  from = autopkgtest_broker_user.test
  lifecycle {
    destroy = false
  }
}
`)},
		resource.TestStep{Config: configuration, Check: func(*terraform.State) error {
			if password() != first {
				return fmt.Errorf("a lost state changed the password")
			}
			return userIsRight(s, name, first, management.Worker)
		}},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if _, err := s.management.User(ctx, name); err == nil {
		t.Error("the destroyed user is still in the broker")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the destroyed user's password file is still there")
	}
}

func userIsRight(s *sharedStack, name string, password config.Secret, role management.Role) error {
	ctx := context.Background()
	u, err := s.management.User(ctx, name)
	if err != nil {
		return err
	}
	if !u.HasPassword(password) {
		return fmt.Errorf("the broker does not know the file's password")
	}
	if diff := cmp.Diff(management.OurTags, u.Tags); diff != "" {
		return fmt.Errorf("tags: %s", diff)
	}
	permissions, err := s.management.Permissions(ctx, name)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(role.Permissions(), permissions); diff != "" {
		return fmt.Errorf("permissions: %s", diff)
	}
	return nil
}

func TestAccBrokerUserChanges(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := unique("user")
	other := filepath.Join(s.directory, "credentials", name+"-moved")
	var password config.Secret
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: userConfiguration(s, name, "requester"),
			Check: func(*terraform.State) error {
				file := filepath.Join(s.directory, "credentials", name)
				account, err := config.ReadBroker(file)
				password = account.Password
				if text, _ := os.ReadFile(file); !regexp.MustCompile(`(?m)^ADT_AMQP = amqp://`).Match(text) {
					return fmt.Errorf("britney could not include the file")
				}
				return err
			},
		},
		{ // another role
			Config: userConfiguration(s, name, "collector"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate),
			}},
			Check: func(*terraform.State) error { return userIsRight(s, name, password, management.Collector) },
		},
		{ // the file moves, the password with it
			Config: s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker           = BROKER
  name             = %q
  role             = "collector"
  credentials_file = %q
}
`, name, other),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate),
			}},
			Check: func(*terraform.State) error {
				if account, err := config.ReadBroker(other); err != nil || account.Password != password {
					return fmt.Errorf("the moved file: %w", err)
				}
				if _, err := os.Stat(filepath.Join(s.directory, "credentials", name)); err == nil {
					return fmt.Errorf("the old file is still there")
				}
				return userIsRight(s, name, password, management.Collector)
			},
		},
		{
			ResourceName: userAddress, ImportState: true, ImportStateId: s.broker.ManagementURL + "," + name,
			ExpectError: words("not imported but adopted(.|\n)*it takes over what is there, with its passwords"),
		},
		{ // another name is another user
			Config: userConfiguration(s, unique("user"), "collector"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionReplace),
			}},
		},
	}})
}

func TestAccBrokerUserOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		// Only root can give files away: what others get is an error that says so.
		s := shared(t)
		resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
			Config:      ownedUser(s, unique("user"), "nobody"),
			ExpectError: regexp.MustCompile(`(?i)root`),
		}}})
		return
	}
	t.Parallel()
	s := shared(t)
	name := unique("user")
	file := filepath.Join(s.directory, "credentials", name)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	configuration := ownedUser(s, name, "nobody")
	ownedByNobody := func(*terraform.State) error {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if uid := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid); uid != nobody.Uid || info.Mode().Perm() != 0o600 {
			return fmt.Errorf("the file has owner %s and mode %s", uid, info.Mode())
		}
		return nil
	}
	steps := []resource.TestStep{{Config: configuration, Check: ownedByNobody}}
	steps = append(steps, repaired(userAddress, "does not belong to nobody", configuration, func() {
		if err := os.Chown(file, 0, 0); err != nil {
			t.Error(err)
		}
	})...)
	steps[len(steps)-1].Check = ownedByNobody
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

func ownedUser(s *sharedStack, name, owner string) string {
	return s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker = BROKER
  name   = %q
  role   = "requester"
  owner  = %q
}
`, name, owner)
}

func TestAccBrokerUserRefuses(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	stranger := unique("stranger")
	if err := s.management.PutUser(ctx, management.User{Name: stranger, PasswordHash: management.HashPassword("x")}); err != nil {
		t.Fatal(err)
	}
	occupied := filepath.Join(s.directory, "credentials", unique("occupied"))
	content := config.Broker{Username: "somebody", Password: "secret", Host: "broker"}.File(config.KeyURI)
	if err := os.WriteFile(occupied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(occupied) })

	nobodys := unique("user")
	t.Cleanup(func() {
		if _, err := s.management.User(ctx, nobodys); !errors.Is(err, management.ErrNotFound) {
			t.Errorf("the broker has a user whose password nobody got: %v", err)
		}
	})
	for name, tc := range map[string]struct{ configuration, want string }{
		"somebody else's user": {userConfiguration(s, stranger, "worker"), "not made by this\\s+provider"},
		"the administrator":    {userConfiguration(s, "admin", "worker"), "administrator that this resource\\s+works as"},
		"guest":                {userConfiguration(s, "guest", "worker"), "removed, not used"},
		"an unknown role":      {userConfiguration(s, "x", "boss"), `"boss"`},
		"somebody else's file": {s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker           = BROKER
  name             = %q
  role             = "worker"
  credentials_file = %q
}
`, unique("user"), occupied), `holds the credentials of the user "somebody"`},
		"an owner that is not there": {ownedUser(s, nobodys, "nosuch"), `(?s)owner += "nosuch".*no\s+account\s+"nosuch".*Correct\s+the\s+owner`},
		"no administrator": {providerBlock(sharedName, s.directory) + fmt.Sprintf(`
resource "autopkgtest_broker_user" "test" {
  broker = {
    management_url   = %q
    credentials_file = "/nonexistent/credentials"
  }
  name = "x"
  role = "worker"
}
`, s.broker.ManagementURL), "/nonexistent/credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration, ExpectError: regexp.MustCompile(tc.want),
			}}})
		})
	}
}
