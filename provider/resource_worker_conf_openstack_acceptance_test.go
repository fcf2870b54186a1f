//go:build acceptance && openstack

package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// tells waits until the worker, asked how it does, says all of the texts.
func (f *workerConfFiles) tells(texts ...string) error {
	d, err := host.Open(f.directory, "acc")
	if err != nil {
		return err
	}
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		var body []byte
		resp, err := http.Get("http://" + workerHealth(d) + "/readyz")
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		for _, text := range texts {
			if !strings.Contains(string(body), text) {
				err = errors.Join(err, fmt.Errorf("the worker does not say %q but %s", text, body))
			}
		}
		if err == nil || time.Since(begin) > time.Minute {
			return err
		}
	}
}

// TestAccOpenStackWorkerConf: a worker whose testbeds are a cloud's servers has what the operator's file says, and what the attributes
// say; it knows the regions' quotas, and changes of the files are seen. Its canaries, whose servers have no ssh here, are not waited for.
func TestAccOpenStackWorkerConf(t *testing.T) {
	t.Parallel()
	l := newKeyLab(t)
	f := newWorkerConfFiles(t)
	one := l.key("one")
	l.key("two")
	l.put(l.name, one)
	t.Cleanup(func() { l.remove(l.name) })
	first, second := fileContent(t, l.file("one")), fileContent(t, l.file("two"))
	lcy01 := fileContent(t, l.rc)
	f.write("key", first)
	f.write("lcy01.rc", lcy01)
	f.write("lgw01.rc", fileContent(t, openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01)))
	f.write("worker.conf", of2015)
	etc := filepath.Join(f.directory, "services/worker/etc")
	deployed := filepath.Join(etc, "worker.conf")
	told := strings.ReplaceAll(`
  worker_conf = "FOLDER/worker.conf"
  rc_files    = ["FOLDER/lcy01.rc"]
  key_file    = "FOLDER/key"
  key_name    = "NAME"`, "NAME", l.name)
	with := func(attributes string) string { return f.in(workerConfStack + attributes + "\n}\n") }
	well := func(texts ...string) resource.TestCheckFunc {
		return func(*terraform.State) error { return f.tells(texts...) }
	}
	repaired := func(problem string, check resource.TestCheckFunc, damage func()) resource.TestStep {
		return resource.TestStep{
			PreConfig: damage, Config: with(told), Check: check,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyUpdates{theWorker}, had{theWorker, "status", problem}},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
		}
	}
	image := standIn(t, f.directory)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: with(told),
			Check: resource.ComposeTestCheckFunc(
				has(deployed, "backend = nova", "big_packages = glibc linux", "flavor = m1.small", "--keyname="+l.name, "delivery_timeout = 48h",
					"rc_files = "+filepath.Join(etc, "rc-0")+"\n", "key_file = "+filepath.Join(etc, "testbed-key")),
				has(filepath.Join(etc, "rc-0"), lcy01), has(filepath.Join(etc, "testbed-key"), first), well("lcy01: room for"),
			),
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		repaired("worker.conf has changed", has(deployed, "big_packages = firefox linux"), func() {
			f.write("worker.conf", strings.Replace(of2015, "glibc", "firefox", 1))
		}),
		repaired(`the credentials in .*lcy01\.rc have changed`, has(filepath.Join(etc, "rc-0"), "# renewed"), func() {
			f.write("lcy01.rc", lcy01+"# renewed\n")
		}),
		repaired(`the credentials in .*key have changed`, has(filepath.Join(etc, "testbed-key"), second), func() { f.write("key", second) }),
		{
			PreConfig: func() { f.write("worker.conf", strings.Replace(of2015, "host =", "host = rabbit.internal", 1)) },
			Config:    with(told), ExpectError: words(`worker\.conf:2: \[amqp\] host: is "rabbit\.internal"`),
		},
		{ // a region more
			PreConfig: func() { f.write("worker.conf", of2015) },
			Config:    with(strings.Replace(told, `lcy01.rc"`, `lcy01.rc", "FOLDER/lgw01.rc"`, 1)),
			Check:     resource.ComposeTestCheckFunc(has(deployed, "etc/rc-0", "etc/rc-1"), well("lcy01: room for", "lgw01: room for")),
		},
		{
			ResourceName: theWorker, ImportState: true, ImportStateId: f.directory, ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory",
			ImportStateVerifyIgnore:              []string{"worker_conf", "rc_files", "key_file", "key_name"},
		},
		{ // testbeds of this machine instead
			Config: with(fmt.Sprintf("\n  images = [%q]", image)),
			Check: resource.ComposeTestCheckFunc(has(deployed, "backend = unshare", "images = "+filepath.Dir(image)), func(*terraform.State) error {
				if left, err := filepath.Glob(filepath.Join(etc, "[rt]*")); err != nil || len(left) > 0 {
					return fmt.Errorf("the worker still has %v, %w", left, err)
				}
				return nil
			}),
		},
	}})
	l.awaitNoServer(t)
}

// awaitNoServer waits until no server has the key: one that is deleted while it is built is listed, as if it were not, for some seconds.
func (l *keyLab) awaitNoServer(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for begin := time.Now(); ; time.Sleep(time.Second) {
		servers, err := l.region.ServersTagged(ctx)
		l.must(err)
		left := slices.IndexFunc(servers, func(s openstack.Server) bool { return s.KeyName == l.name })
		if left < 0 {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("the server %s of a canary is left: %s, doing %q", servers[left].Name, servers[left].Status, servers[left].TaskState)
		}
	}
}
