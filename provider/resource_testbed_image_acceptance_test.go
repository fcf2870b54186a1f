//go:build acceptance

package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
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
	giveImage(t, makeStack(t, directory), "rel", hostArchitecture())
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

// giveImage puts a finished image into a stack.
func giveImage(t *testing.T, d *host.Directory, release, architecture string) {
	t.Helper()
	info, err := json.Marshal(testbed.ImageInfo{
		Release: release, Architecture: architecture, Phase: testbed.PhaseReady, Canary: testbed.CanaryPassed,
		Built: time.Now().UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	stem := filepath.Join(imagesPath, release+"-"+architecture)
	_, first := d.WriteFile(stem+testbed.ImageSuffix, []byte("stands in"), 0o644)
	_, second := d.WriteFile(stem+testbed.InfoSuffix, info, 0o644)
	if err := errors.Join(first, second); err != nil {
		t.Fatal(err)
	}
}

const imageAddress = "autopkgtest_testbed_image.test"

// TestAccTestbedImage is each attribute's life, on images that are there already: a job that is told of another archive, or of more
// packages, cannot build with them here, and the images stay.
func TestAccTestbedImage(t *testing.T) {
	t.Parallel()
	directory, other := newStack(t), newStack(t)
	folder := filepath.Dir(directory)
	place := filepath.Join(folder, "bin")
	program := filepath.Join(place, "linux_"+runtime.GOARCH, workerName)
	if err := os.CopyFS(filepath.Dir(program), os.DirFS(filepath.Join(programs, "linux_"+runtime.GOARCH))); err != nil {
		t.Fatal(err)
	}
	if err := makeExecutable(place); err != nil {
		t.Fatal(err)
	}
	const foreign = "riscv64" // of no machine that runs the test
	d := makeStack(t, directory)
	giveImage(t, d, "rel", hostArchitecture())
	giveImage(t, d, "next", hostArchitecture())
	giveImage(t, d, "next", foreign)
	giveImage(t, makeStack(t, other), "next", foreign)
	one, _ := releaseServer(t, "rel", "next")
	two, _ := releaseServer(t, "rel", "next")
	configuration := func(attributes string) string {
		return fmt.Sprintf("provider \"autopkgtest\" {\n  stack = \"acc\"\n  directory = %q\n  binaries = %q\n}\n", directory, place) +
			"resource \"autopkgtest_testbed_image\" \"test\" {\n" + attributes + "\n}\n"
	}
	first := configuration(fmt.Sprintf(`
  release       = "rel"
  mirror        = %q
  include       = ["hello"]
  refresh_every = "12h"
  cache         = %q
`, one, filepath.Join(folder, "cache")))
	second := configuration(fmt.Sprintf(`
  release       = "rel"
  mirror        = %q
  include       = ["hello", "sl"]
  refresh_every = "6h"
  cache         = %q
  timeouts      = { update = "10m" }
`, two, filepath.Join(folder, "other-cache")))
	conf := filepath.Join(directory, "services", imageService("rel", hostArchitecture()), imageConf)
	told := func(mirror string, every time.Duration, include ...string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			got, err := config.LoadImage(conf)
			want := config.Image{
				Release: "rel", Architecture: hostArchitecture(), Directory: filepath.Join(directory, imagesPath), Mirror: mirror,
				Every: every, Include: include,
			}
			if difference := cmp.Diff(want, got); err == nil && difference != "" {
				err = errors.New("the job's configuration: " + difference)
			}
			return err
		}
	}
	kept := func(cache string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			_, err := os.Stat(filepath.Join(folder, cache, "rel-"+hostArchitecture()+testbed.ImageSuffix))
			return err
		}
	}
	check := resource.TestCheckResourceAttr
	empty := []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}
	steps := []resource.TestStep{
		{
			Config:           first,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: empty},
			Check: resource.ComposeAggregateTestCheckFunc(
				check(imageAddress, "status", running), check(imageAddress, "architecture", hostArchitecture()),
				check(imageAddress, "path", filepath.Join(directory, "images", "rel-"+hostArchitecture()+testbed.ImageSuffix)),
				resource.TestCheckResourceAttrWith(imageAddress, "binary", hashOf(program)),
				told(one, 12*time.Hour, "hello"), kept("cache")),
		},
		{
			ResourceName: imageAddress, ImportState: true, ImportStateId: directory + ",rel," + hostArchitecture(), ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory", ImportStateVerifyIgnore: []string{"cache"}, // of which only the configuration knows
		},
		{
			Config: second,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{onlyUpdates{imageAddress}}, PostApplyPostRefresh: empty,
			},
			Check: resource.ComposeTestCheckFunc(told(two, 6*time.Hour, "hello", "sl"), kept("other-cache")),
		},
		{
			Config: strings.Replace(second, "\n}", "\n  system = true\n}", 1), PlanOnly: true,
			ExpectError: words("The stack's kind cannot be changed"),
		},
		systemWide(second, imageAddress),
		{ // there is a new program
			PreConfig: func() {
				if err := appendTo(program, "\n"); err != nil {
					t.Error(err)
				}
			},
			Config: second,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyUpdates{imageAddress}, had{imageAddress, "binary", "^[0-9a-f]{64}$"}},
				PostApplyPostRefresh: empty,
			},
			Check: func(state *terraform.State) error {
				return resource.TestCheckResourceAttrWith(imageAddress, "binary", hashOf(program))(state)
			},
		},
	}
	for reason, damage := range map[string]func() error{
		imageConf + " .*changed": func() error { return os.WriteFile(conf, []byte("[image]\n"), 0o644) },
		`process image-rel-`: func() error {
			return os.RemoveAll(filepath.Join(directory, "sv", imageService("rel", hostArchitecture())))
		},
	} {
		steps = append(steps, repaired(imageAddress, reason, second, func() {
			if err := damage(); err != nil {
				t.Error(err)
			}
		})...)
		steps[len(steps)-1].Check = told(two, 6*time.Hour, "hello", "sl")
	}
	// What names an image makes another one of it, and so does another folder.
	for _, attributes := range []string{
		`release = "next"`,
		fmt.Sprintf("release = %q\narchitecture = %q", "next", foreign),
		fmt.Sprintf("release = %q\narchitecture = %q\ndirectory = %q", "next", foreign, other),
	} {
		steps = append(steps, resource.TestStep{
			Config: configuration(fmt.Sprintf("%s\nmirror = %q", attributes, one)),
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{onlyReplaces{imageAddress}}, PostApplyPostRefresh: empty,
			},
			Check: check(imageAddress, "status", running),
		})
	}
	steps[len(steps)-1].Check = resource.ComposeTestCheckFunc(
		check(imageAddress, "path", filepath.Join(other, "images", "next-"+foreign+testbed.ImageSuffix)),
		func(*terraform.State) error {
			if _, err := os.Lstat(directory); err == nil {
				return errors.New("nothing is in the old folder, and it is still there")
			}
			return nil
		})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}
