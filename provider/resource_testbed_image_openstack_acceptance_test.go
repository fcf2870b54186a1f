//go:build acceptance && openstack

package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/cloudimage"
)

// cloudImageLab is a stack, and files of its account, for an image that no other test has.
type cloudImageLab struct {
	t                       *testing.T
	directory, folder, name string
	region                  *openstack.Region
	account                 host.Account
	files                   map[string]string // RC files by region
}

func newCloudImageLab(t *testing.T) *cloudImageLab {
	t.Helper()
	directory := newStack(t)
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	l := &cloudImageLab{
		t: t, directory: directory, folder: filepath.Dir(directory), name: "test/" + strings.ToLower(rand.Text()),
		region: openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01), account: account, files: map[string]string{},
	}
	for _, region := range []string{openstacktest.Lcy01, openstacktest.Lgw01} {
		content, err := os.ReadFile(openstacktest.RCFile(t, openstacktest.Scalingstack, region))
		if err != nil {
			t.Fatal(err)
		}
		l.files[region] = l.write(region+".rc", string(content))
	}
	t.Cleanup(func() {
		for _, name := range []string{l.name, l.name + "-next"} {
			if left := l.published(name); len(left) > 0 {
				t.Errorf("left of %s: %+v", name, left)
				p := openstack.Publication{Region: l.region, Name: name}
				if err := p.Clear(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return l
}

// write gives the stack's account a file.
func (l *cloudImageLab) write(name, content string) string {
	l.t.Helper()
	file := filepath.Join(l.folder, name)
	err := os.WriteFile(file, []byte(content), 0o600)
	if os.Geteuid() == 0 {
		err = errors.Join(err, os.Chown(file, l.account.UID, l.account.GID))
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return file
}

// disk writes a disk that no other test has.
func (l *cloudImageLab) disk(name string) string {
	l.t.Helper()
	text := rand.Text()
	return l.write(name, text+strings.Repeat("\x00", 510-len(text))+"\x55\xaa")
}

func (l *cloudImageLab) published(name string) []openstack.Published {
	l.t.Helper()
	shelf, err := openstack.Publication{Region: l.region, Name: name}.Look(context.WithoutCancel(l.t.Context()))
	if err != nil {
		l.t.Error(err)
	}
	return shelf.Published
}

func (l *cloudImageLab) image(attributes, cloud string) string {
	return providerBlock("acc", l.directory) + fmt.Sprintf(
		"resource \"autopkgtest_testbed_image\" \"test\" {\n  release = \"noble\"\n%s\n  cloud = {\n%s\n  }\n}\n", attributes, cloud)
}

// TestAccOpenStackTestbedImage: an image is published in both regions, proven; it is another one with another name, and nothing is left of
// it in the end.
func TestAccOpenStackTestbedImage(t *testing.T) {
	t.Parallel()
	l := newCloudImageLab(t)
	cloud := func(name, rest string) string {
		return fmt.Sprintf("rc_files = [%q, %q]\nname = %q\nsource = %q\ncanary = \"boot\"\n%s", l.files[openstacktest.Lcy01],
			l.files[openstacktest.Lgw01], name, filepath.Join(l.folder, "disk.img"), rest)
	}
	l.disk("disk.img")
	first := l.image("", cloud(l.name, `flavor = "m1.tiny"`))
	second := l.image(`refresh_every = "6h"`, cloud(l.name, "flavor = \"m1.small\"\nnovaopts = \"--net-id net_scalingstack\""))
	third := l.image("", cloud(l.name+"-next", `flavor = "m1.tiny"`))
	conf := filepath.Join(l.directory, "services", imageService("noble", hostArchitecture()), imageConf)
	told := func(every time.Duration, flavor string, options ...string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			got, err := config.LoadImage(conf)
			if err != nil {
				return err
			}
			want := config.Image{
				Release: "noble", Architecture: hostArchitecture(), Directory: filepath.Join(l.directory, imagesPath), Every: every,
				Cloud: &config.CloudImage{
					Name: l.name, Source: filepath.Join(l.folder, "disk.img"), Canary: config.CanaryBoot, Nova: config.Nova{
						RCFiles: []string{l.files[openstacktest.Lcy01], l.files[openstacktest.Lgw01]}, Flavor: flavor, Options: options,
					},
				},
			}
			if difference := cmp.Diff(want, got); difference != "" {
				return errors.New("the job's configuration: " + difference)
			}
			return nil
		}
	}
	there := func(name string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			found, err := l.region.NewestImage(t.Context(), name)
			if err != nil {
				return err
			}
			status, err := cloudimage.ReadStatus(cloudimage.StatusPath(filepath.Join(l.directory, imagesPath), "noble", hostArchitecture()))
			if err != nil || len(status.Images) != 2 || status.Images[0].ID != found.ID || status.Images[1].ID != found.ID {
				return fmt.Errorf("%s is found, and the status is %+v, %w", found.Name, status, err)
			}
			return nil
		}
	}
	check := resource.TestCheckResourceAttr
	empty := []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}
	steps := []resource.TestStep{
		{
			Config: first, ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: empty},
			Check: resource.ComposeAggregateTestCheckFunc(check(imageAddress, "status", running),
				resource.TestCheckNoResourceAttr(imageAddress, "path"), told(24*time.Hour, "m1.tiny"), there(l.name)),
		},
		{
			ResourceName: imageAddress, ImportState: true, ImportStateId: l.directory + ",noble," + hostArchitecture(), ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory",
		},
		{
			Config: second,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{onlyUpdates{imageAddress}}, PostApplyPostRefresh: empty,
			},
			Check: resource.ComposeTestCheckFunc(told(6*time.Hour, "m1.small", "--net-id", "net_scalingstack"), there(l.name)),
		},
	}
	steps = append(steps, repaired(imageAddress, imageConf+" .*changed", second, func() {
		if err := os.WriteFile(conf, []byte("[image]\n"), 0o644); err != nil {
			t.Error(err)
		}
	})...)
	steps = append(steps, resource.TestStep{
		Config: third,
		ConfigPlanChecks: resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{onlyReplaces{imageAddress}}, PostApplyPostRefresh: empty,
		},
		Check: resource.ComposeTestCheckFunc(there(l.name+"-next"), func(*terraform.State) error {
			if left := l.published(l.name); len(left) > 0 {
				return fmt.Errorf("left under the old name: %+v", left)
			}
			return nil
		}),
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if left := l.published(l.name + "-next"); len(left) > 0 {
		t.Errorf("left after the end: %+v", left)
	}
}

// TestAccOpenStackTestbedImageRefuses: what cannot be is refused by the plan, or by a job that says why; then nothing is left of it.
func TestAccOpenStackTestbedImageRefuses(t *testing.T) {
	t.Parallel()
	l := newCloudImageLab(t)
	l.disk("disk.img")
	packed := l.write("packed.img", "\xfd7zXZ"+strings.Repeat("\x00", 600))
	valid := map[string]string{
		"rc_files": fmt.Sprintf("[%q]", l.files[openstacktest.Lcy01]), "name": fmt.Sprintf("%q", l.name),
		"source": fmt.Sprintf("%q", filepath.Join(l.folder, "disk.img")), "canary": `"boot"`, "flavor": `"m1.tiny"`,
	}
	with := func(attributes string, change ...string) string {
		changed, text := map[string]string{}, ""
		for name, value := range valid {
			changed[name] = value
		}
		for i := 0; i < len(change); i += 2 {
			changed[change[i]] = change[i+1]
		}
		for name, value := range changed {
			text += "    " + name + " = " + value + "\n"
		}
		return l.image(attributes, text)
	}
	open := l.write("open.rc", "export OS_PASSWORD=x\n")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	var steps []resource.TestStep
	for _, c := range []struct {
		config, says string
		applied      bool
	}{
		{with(`mirror = "http://archive.ubuntu.com/ubuntu"`), `mirror(.|\n)*cannot be specified when(.|\n)*cloud`, false},
		{with("", "name", `"a,b"`), `a,b(.|\n)*is not a name`, false},
		{with("", "rc_files", "[]"), `at least 1`, false},
		{with("", "rc_files", `["lcy01.rc"]`), `relative`, false},
		{with("", "source", `"disk.img"`), `neither an absolute path nor`, false},
		{with("", "source", "null", "checksum", `"`+strings.Repeat("0", 64)+`"`), `a disk that is built has none`, false},
		{with("", "source", `"https://example.com/disk.img"`), `missing: a disk that comes over a network`, false},
		{with("", "checksum", `"sha256:1"`), `neither the 64`, false},
		{with("", "canary", `"none"`), `tests`, false},
		{with("", "flavor", `""`), `at least 1`, false},
		{with("", "key_file", `"key"`), `relative`, false},
		{with("", "novaopts", `"--image x"`), `image_pattern says that`, false},
		{with("", "rc_files", `["/nowhere/lcy01.rc"]`), `/nowhere/lcy01.rc`, true},
		{with("", "rc_files", fmt.Sprintf("[%q]", open)), `chmod 600`, true},
		{with("", "source", fmt.Sprintf("%q", packed)), `packed with xz`, true},
		{with("", "checksum", `"`+strings.Repeat("0", 64)+`"`), `is to have`, true},
		{with("", "flavor", `"m9.none"`), `there is no flavor(.|\n)*m9.none`, true},
		{with("", "flavor", `"m1.huge"`), `another region`, true},
	} {
		steps = append(steps, resource.TestStep{Config: c.config, PlanOnly: !c.applied, ExpectError: words(c.says)})
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if _, err := os.Lstat(filepath.Join(l.directory, "services")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what could not be made has left a service: %v", err)
	}
}

// TestAccOpenStackTestbedImageWarns: a disk that is none leaves the image in use, and the plan empty.
func TestAccOpenStackTestbedImageWarns(t *testing.T) {
	t.Parallel()
	l := newCloudImageLab(t)
	disk := l.disk("disk.img")
	good := l.image(`refresh_every = "1m"`, fmt.Sprintf("rc_files = [%q]\nname = %q\nsource = %q\ncanary = \"boot\"\nflavor = \"m1.tiny\"",
		l.files[openstacktest.Lcy01], l.name, disk))
	file := cloudimage.StatusPath(filepath.Join(l.directory, imagesPath), "noble", hostArchitecture())
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: good},
		{
			PreConfig: func() {
				l.write("disk.img", strings.Repeat("no disk ", 100))
				for begin := time.Now(); ; time.Sleep(time.Second) {
					if status, err := cloudimage.ReadStatus(file); err == nil && status.Phase == testbed.PhaseFailed {
						break
					}
					if time.Since(begin) > 3*time.Minute {
						t.Fatal("the job does not see the new disk")
					}
				}
			},
			Config: good, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			Check: func(*terraform.State) error {
				if shown := l.published(l.name); len(shown) != 1 {
					return fmt.Errorf("published are %+v", shown)
				}
				return nil
			},
		},
	}})
}
