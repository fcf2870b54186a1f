//go:build acceptance

package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func imageConfiguration(directory, release, mirror string) string {
	return providerBlock("acc", directory) + fmt.Sprintf(`
resource "autopkgtest_testbed_image" "test" {
  release = %q
  mirror  = %q
}
`, release, mirror)
}

// TestAccUnknownRelease: the plan asks the archive about a new image, and refuses what that does not have where it is
// written. An archive that does not answer refuses nothing yet.
func TestAccUnknownRelease(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	mirror, _ := releaseServer(t, "rel")
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: imageConfiguration(directory, "nosuch", mirror), PlanOnly: true,
			ExpectError: words(`There is no release nosuch at ` + mirror + `(.|\n)*release = "nosuch"(.|\n)*Correct the name(.|\n)*mirror`),
		},
		{Config: imageConfiguration(directory, "rel", mirror), PlanOnly: true, ExpectNonEmptyPlan: true},
		{Config: imageConfiguration(directory, "rel", "http://127.0.0.1:1/debian"), PlanOnly: true, ExpectNonEmptyPlan: true},
	}})
}

// TestAccImageWithoutItsArchive: an image that is there needs no archive for a plan, and is adopted without one.
func TestAccImageWithoutItsArchive(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	giveImage(t, directory, "rel")
	mirror, asked := releaseServer(t) // which has dropped the release
	elsewhere, _ := releaseServer(t)
	configuration := imageConfiguration(directory, "rel", mirror)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: func(*terraform.State) error {
				if n := asked.Load(); n > 0 {
					return fmt.Errorf("the archive was asked %d times about an image that is there", n)
				}
				return nil
			},
		},
		{Config: imageConfiguration(directory, "rel", "http://127.0.0.1:1/debian"), PlanOnly: true, ExpectNonEmptyPlan: true},
		{
			Config: imageConfiguration(directory, "rel", elsewhere), PlanOnly: true,
			ExpectError: words(`There is no release rel at ` + elsewhere + `(.|\n)*mirror = "`),
		},
		{Config: configuration, PlanOnly: true},
	}})
	if n := asked.Load(); n > 0 {
		t.Errorf("the archive was asked %d times about an image that is there", n)
	}
}

// giveImage makes a stack that holds nothing but a finished image.
func giveImage(t *testing.T, directory, release string) {
	t.Helper()
	d := makeStack(t, directory)
	info, err := json.Marshal(testbed.ImageInfo{
		Release: release, Architecture: hostArchitecture(), Phase: testbed.PhaseReady, Canary: testbed.CanaryPassed,
		Built: time.Now().UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	stem := filepath.Join(imagesPath, release+"-"+hostArchitecture())
	_, first := d.WriteFile(stem+testbed.ImageSuffix, []byte("stands in"), 0o644)
	_, second := d.WriteFile(stem+testbed.InfoSuffix, info, 0o644)
	if err := errors.Join(first, second); err != nil {
		t.Fatal(err)
	}
}
