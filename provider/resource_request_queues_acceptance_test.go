//go:build acceptance

package provider

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

const queuesAddress = "autopkgtest_request_queues.test"

func queuesConfiguration(s *sharedStack, releases, extra string) string {
	return queuesConfigurationOn(s, releases, `"amd64"`, extra)
}

func queuesConfigurationOn(s *sharedStack, releases, architectures, extra string) string {
	return s.configuration(`
resource "autopkgtest_request_queues" "test" {
  broker        = BROKER
  releases      = [%s]
  architectures = [%s]
  %s
}
`, releases, architectures, extra)
}

// publish puts a request into a queue, as a client does.
func publish(t *testing.T, s *sharedStack, name string) {
	t.Helper()
	ctx := context.Background()
	account, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	session, err := queue.Dial(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Publish(ctx, "", name, []byte("gzip\n{}"), true); err != nil {
		t.Fatal(err)
	}
}

func TestAccRequestQueues(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	one, two := unique("rel"), unique("rel")
	both := fmt.Sprintf("%q, %q", one, two)
	there := func(want ...string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			queues, err := s.management.Queues(ctx)
			if err != nil {
				return err
			}
			var got []string
			for _, release := range []string{one, two} {
				for _, name := range []string{"debci-", "debci-huge-", "debci-ppa-", "debci-upstream-"} {
					for _, architecture := range []string{"-amd64", "-i386"} {
						if q, ok := queues[name+release+architecture]; ok && q.Plain {
							got = append(got, q.Name)
						}
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("queues: %s", diff)
			}
			return nil
		}
	}
	all := func(release string) []string {
		return []string{"debci-" + release + "-amd64", "debci-huge-" + release + "-amd64", "debci-ppa-" + release + "-amd64",
			"debci-upstream-" + release + "-amd64"}
	}
	steps := []resource.TestStep{
		{
			Config: queuesConfiguration(s, fmt.Sprintf("%q", one), ""),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(queuesAddress, tfjsonpath.New("names"), knownvalue.SetExact([]knownvalue.Check{
					knownvalue.StringExact(all(one)[0]), knownvalue.StringExact(all(one)[1]),
					knownvalue.StringExact(all(one)[2]), knownvalue.StringExact(all(one)[3]),
				})),
			},
			Check: there(all(one)...),
		},
		{
			Config: queuesConfiguration(s, both, ""),
			Check:  there(append(all(one), all(two)...)...),
		},
	}
	steps = append(steps, repaired(queuesAddress, "missing: debci-huge-"+one, queuesConfiguration(s, both, ""), func() {
		if err := s.management.DeleteQueue(ctx, "debci-huge-"+one+"-amd64", false); err != nil {
			t.Error(err)
		}
	})...)
	other := queuesConfigurationOn(s, fmt.Sprintf("%q", one), `"i386"`, "contexts = [\"normal\"]\n  drain_timeout = \"0s\"")
	steps = append(steps,
		resource.TestStep{ // a request stands in a queue that is to go
			PreConfig:   func() { publish(t, s, "debci-"+two+"-amd64") },
			Config:      queuesConfiguration(s, fmt.Sprintf("%q", one), `drain_timeout = "0s"`),
			ExpectError: regexp.MustCompile(`Requests stand in debci-` + two + `-amd64\s+\(1\s+request\)`),
		},
		resource.TestStep{ // nothing was removed
			Config: queuesConfiguration(s, both, ""), PlanOnly: true,
		},
		resource.TestStep{Config: queuesConfiguration(s, both, ""), Check: there(append(all(one), all(two)...)...)},
		resource.TestStep{ // a destroy is refused as well
			Config: queuesConfiguration(s, both, ""), Destroy: true, ExpectError: regexp.MustCompile(`1\s+request`),
		},
		resource.TestStep{ // contexts can be chosen, and the loss allowed
			Config: queuesConfiguration(s, fmt.Sprintf("%q", one), "contexts = [\"normal\", \"ppa\"]\n  allow_message_loss = true"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(queuesAddress, plancheck.ResourceActionUpdate),
			}},
			Check: there(all(one)[0], all(one)[2]),
		},
		resource.TestStep{ // the architectures are others
			Config: other,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(queuesAddress, plancheck.ResourceActionUpdate),
			}},
			Check: there("debci-" + one + "-i386"),
		},
		resource.TestStep{ // they are replaced
			Config: other, Taint: []string{queuesAddress},
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyReplaces{queuesAddress}},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: there("debci-" + one + "-i386"),
		},
		resource.TestStep{ // and what stands in one is not lost by that
			PreConfig: func() { publish(t, s, "debci-"+one+"-i386") },
			Config:    other, Taint: []string{queuesAddress}, ExpectError: regexp.MustCompile(`1\s+request`),
		},
		resource.TestStep{PreConfig: func() { take(t, s, "debci-"+one+"-i386").finish(t, 0, "debci-"+one+"-i386") }, Config: other},
		resource.TestStep{
			ResourceName: queuesAddress, ImportState: true, ImportStateId: s.broker.ManagementURL, ExpectError: words("not imported but adopted"),
		},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if err := there()(nil); err != nil {
		t.Errorf("after the destroy: %v", err)
	}
}

func TestAccRequestQueuesRefuse(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, tc := range map[string]struct{ configuration, want string }{
		"a dash in a release":                {queuesConfiguration(s, `"focal-updates"`, ""), `queue names are\s+split on dashes`},
		"no release":                         {queuesConfiguration(s, ``, ""), `at least 1 elements`},
		"another's name for an architecture": {queuesConfigurationOn(s, `"noble"`, `"aarch64"`, ""), `write\s+"arm64"`},
		"a dash in an architecture":          {queuesConfigurationOn(s, `"noble"`, `"linux-amd64"`, ""), `architecture "linux-amd64" has a\s+dash`},
		"capitals in an architecture":        {queuesConfigurationOn(s, `"noble"`, `"AMD64"`, ""), `lower-case letters and\s+digits`},
		"a time that is none":                {queuesConfiguration(s, `"noble"`, `drain_timeout = "soon"`), `not a duration`},
		"an unknown context":                 {queuesConfiguration(s, `"noble"`, `contexts = ["big"]`), `normal, huge,\s+ppa, upstream`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration, ExpectError: regexp.MustCompile(tc.want),
			}}})
		})
	}
}
