//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

func TestAccResultContainers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	const address = "autopkgtest_result_containers.test"
	account, err := config.ReadStore(s.store.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	client := swiftstore.New(account)
	one, two := unique("rel"), unique("rel")
	configuration := func(releases, extra string) string {
		return s.configuration(`
resource "autopkgtest_result_containers" "test" {
  store    = STORE
  releases = [%s]
  %s
}
`, releases, extra)
	}
	both := fmt.Sprintf("%q, %q", one, two)
	public := func(*terraform.State) error {
		_, err := swiftstore.Anonymous(s.store.StorageURL).List(ctx, "autopkgtest-"+one, store.Query{})
		return err
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	result := strings.NewReader("a result")

	named := func(releases ...string) resource.TestCheckFunc {
		checks := []resource.TestCheckFunc{resource.TestCheckResourceAttr(address, "names.#", strconv.Itoa(len(releases)))}
		for _, release := range releases {
			checks = append(checks, resource.TestCheckTypeSetElemAttr(address, "names.*", "autopkgtest-"+release))
		}
		return resource.ComposeTestCheckFunc(checks...)
	}
	gone := func(name string) error {
		_, err := client.List(ctx, name, store.Query{})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return fmt.Errorf("the container %s: %w", name, err)
	}

	steps := []resource.TestStep{{Config: configuration(both, ""), Check: resource.ComposeTestCheckFunc(public, named(one, two))}}
	steps = append(steps, repaired(address, "autopkgtest-"+one+" cannot be listed", configuration(both, ""), func() {
		must(client.CreateContainer(ctx, "autopkgtest-"+one, false))
	})...)
	steps[len(steps)-1].Check = public
	steps = append(steps, repaired(address, "autopkgtest-"+one+" is missing", configuration(both, ""), func() {
		must(swift.RemoveContainer(ctx, account, "autopkgtest-"+one, false))
	})...)
	steps[len(steps)-1].Check = resource.ComposeTestCheckFunc(public, named(one, two))
	steps = append(steps,
		resource.TestStep{ // replaced, as long as there are no results
			Config: configuration(both, ""), Taint: []string{address},
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyReplaces{address}},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: resource.ComposeTestCheckFunc(public, named(one, two)),
		},
		resource.TestStep{
			Config: configuration(fmt.Sprintf("%q", one), ""),
			Check:  resource.ComposeTestCheckFunc(public, named(one), func(*terraform.State) error { return gone("autopkgtest-" + two) }),
		},
		resource.TestStep{Config: configuration(both, ""), Check: named(one, two)},
		resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: s.store.StorageURL, ExpectError: words("not imported but adopted"),
		},
		resource.TestStep{ // results are never removed by accident
			PreConfig: func() {
				must(client.Put(ctx, "autopkgtest-"+two, two+"/amd64/g/gzip/x@/result.tar", result, result.Size(), store.Properties{}))
			},
			Config:      configuration(fmt.Sprintf("%q", one), ""),
			ExpectError: regexp.MustCompile("autopkgtest-" + two + "\\s+holds\\s+results"),
		},
		resource.TestStep{Config: configuration(both, ""), PlanOnly: true},
		resource.TestStep{Config: configuration(both, "force_destroy = true"), Check: public},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	for _, release := range []string{one, two} {
		if err := gone("autopkgtest-" + release); err != nil {
			t.Errorf("after the destroy, %v", err)
		}
	}
}
