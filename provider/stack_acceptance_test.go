//go:build acceptance

package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// stackConfiguration is a whole stack but for the testbed image, for which a file stands in: nothing is tested in it.
func stackConfiguration(stack, directory, place, image, worker, web string) string {
	return fmt.Sprintf(`
provider "autopkgtest" {
  stack     = %q
  directory = %q
  binaries  = %q
}

resource "autopkgtest_rabbitmq_server" "broker" {}

resource "autopkgtest_swift_server" "store" {}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_broker_user" "requester" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "the-requester"
  role   = "requester"
}

resource "autopkgtest_broker_user" "worker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "the-worker"
  role   = "worker"
}

resource "autopkgtest_broker_user" "collector" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "the-collector"
  role   = "collector"
}

resource "autopkgtest_request_queues" "queues" {
  broker             = autopkgtest_rabbitmq_server.broker.broker
  releases           = ["rel"]
  architectures      = ["amd64"]
  allow_message_loss = true
}

resource "autopkgtest_result_containers" "results" {
  store         = autopkgtest_swift_server.store.store
  releases      = ["rel"]
  force_destroy = true
}

resource "autopkgtest_worker" "worker" {
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  images                  = [%q]
  depends_on              = [autopkgtest_request_queues.queues]
  %s
}

resource "autopkgtest_web" "web" {
  broker_credentials_file   = autopkgtest_broker_user.collector.credentials_file
  storage_url               = autopkgtest_swift_server.store.store.storage_url
  depends_on                = [autopkgtest_broker.broker]
  %s
}
`, stack, directory, place, image, worker, web)
}

// What stackConfiguration says of the worker and of the website, and what both can be changed to.
const (
	workerAtFirst = `
  releases      = ["rel"]
  architectures = ["amd64"]
  drain_timeout = "1s"
`
	workerChanged = `
  releases       = ["rel", "next"]
  architectures  = ["amd64", "i386"]
  contexts       = ["ppa", "huge"]
  drain_timeout  = "2s"
  slots          = 3
  spool_patience = "13h"
  timeout        = "3h"
`
	webAtFirst = `
  releases                  = ["rel"]
  architectures             = ["amd64"]
  operator_credentials_file = autopkgtest_broker_user.requester.credentials_file
  broker                    = autopkgtest_rabbitmq_server.broker.broker
`
	webChanged = `
  releases      = ["rel", "next"]
  architectures = ["amd64", "i386"]
  external_url  = "https://results.example"
  listen        = "127.0.0.2"
  port          = 28461
`
)

const (
	brokerServer = "autopkgtest_rabbitmq_server.broker"
	storeServer  = "autopkgtest_swift_server.store"
	theWorker    = "autopkgtest_worker.worker"
	theWeb       = "autopkgtest_web.web"
)

var (
	inBroker = []string{
		"autopkgtest_broker.broker", "autopkgtest_request_queues.queues", "autopkgtest_broker_user.requester",
		"autopkgtest_broker_user.worker", "autopkgtest_broker_user.collector",
	}
	inStore = []string{"autopkgtest_result_containers.results"}
)

// givenImages are those that the changed worker needs.
var givenImages = []string{"rel-amd64.tar.zst", "rel-i386.tar.zst", "next-amd64.tar.zst", "next-i386.tar.zst"}

// givenIn has a configuration of the stack take what the services are given from another folder, and the store at another of this
// machine's names; and it has queues for all that the changed worker asks for.
func givenIn(folder, image, configuration string) string {
	file := func(name string) string { return strconv.Quote(filepath.Join(folder, name)) }
	var images []string
	for _, name := range givenImages {
		images = append(images, file(name))
	}
	return strings.NewReplacer(
		"autopkgtest_broker_user.worker.credentials_file", file("the-worker"),
		"autopkgtest_broker_user.collector.credentials_file", file("the-collector"),
		"autopkgtest_swift_server.store.store.credentials_file", file("swift-worker"),
		"= autopkgtest_swift_server.store.store.storage_url",
		`= replace(autopkgtest_swift_server.store.store.storage_url, "127.0.0.1", "localhost")`,
		"autopkgtest_rabbitmq_server.broker.delivery_timeout", `"40h"`,
		strconv.Quote(image), strings.Join(images, ", "),
		`releases           = ["rel"]`, `releases           = ["rel", "next"]`,
		`architectures      = ["amd64"]`, `architectures      = ["amd64", "i386"]`,
	).Replace(configuration)
}

// giveIn puts into a folder what givenIn speaks of: copies of what the stack has.
func giveIn(folder, directory, image string) error {
	err := os.Mkdir(folder, 0o755)
	copied := func(from, to string) {
		out, failed := exec.Command("cp", "-p", from, filepath.Join(folder, to)).CombinedOutput()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%w: %s", failed, out))
		}
	}
	for _, name := range givenImages {
		copied(image, name)
		copied(testbed.InfoPath(image), testbed.InfoPath(name))
	}
	for _, name := range []string{"the-worker", "the-collector", "swift-worker"} {
		copied(filepath.Join(directory, "credentials", name), name)
	}
	return err
}

// had expects that a plan changes an attribute whose value in the state matches a pattern.
type had struct{ address, attribute, pattern string }

func (want had) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, change := range req.Plan.ResourceChanges {
		if change.Address != want.address {
			continue
		}
		before, _ := change.Change.Before.(map[string]any)
		after, _ := change.Change.After.(map[string]any)
		text := fmt.Sprint(before[want.attribute])
		if !regexp.MustCompile(want.pattern).MatchString(text) || text == fmt.Sprint(after[want.attribute]) {
			resp.Error = fmt.Errorf("%s of %s is %q, and planned as %q", want.attribute, want.address, text, after[want.attribute])
		}
		return
	}
	resp.Error = fmt.Errorf("the plan has no %s", want.address)
}

// onlyUpdates expects that a plan changes just these, and each in place.
type onlyUpdates []string

func (want onlyUpdates) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	resp.Error = checkChanges(req, want, false)
}

// onlyReplaces expects that a plan replaces just these, and changes nothing else.
type onlyReplaces []string

func (want onlyReplaces) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	resp.Error = checkChanges(req, want, true)
}

func checkChanges(req plancheck.CheckPlanRequest, want []string, replaced bool) error {
	var got []string
	for _, change := range req.Plan.ResourceChanges {
		switch actions := change.Change.Actions; {
		case actions.NoOp():
		case replaced && actions.Replace(), !replaced && actions.Update():
			got = append(got, change.Address)
		default:
			return fmt.Errorf("the plan is to %v %s", actions, change.Address)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the plan changes %q, want %q", got, want)
	}
	return nil
}

// processes finds the processes of a stack by their marks.
func processes(directory, name string) []int { return hosttest.Processes(directory, name) }

// standIn is a file in the place of a testbed image, beside a stack's folder.
func standIn(t *testing.T, directory string) (image string) {
	t.Helper()
	image = filepath.Join(filepath.Dir(directory), "images", "rel-amd64.tar.zst")
	// As if the job that builds images had just proven it; without that, a canary would come first, and fail.
	proven := fmt.Appendf(nil, `{"canary": "passed", "proven": %q}`, time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(os.MkdirAll(filepath.Dir(image), 0o755), os.WriteFile(image, []byte("stands in"), 0o644),
		os.WriteFile(testbed.InfoPath(image), proven, 0o644)); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestAccStack(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	place := filepath.Join(filepath.Dir(directory), "bin")
	if err := os.CopyFS(place, os.DirFS(programs)); err != nil {
		t.Fatal(err)
	}
	if err := makeExecutable(place); err != nil {
		t.Fatal(err)
	}
	image := standIn(t, directory)
	configuration := stackConfiguration("acc", directory, place, image, workerAtFirst, webAtFirst)
	kept := &remembered{directory: directory}
	given, other := filepath.Join(filepath.Dir(directory), "given"), newStack(t)
	second := withTimeouts(givenIn(given, image, stackConfiguration("acc", directory, place, image, workerChanged, webChanged)))

	steps := []resource.TestStep{{
		Config: configuration,
		Check: resource.ComposeTestCheckFunc(kept.remember, wholeStack(directory, place), func(*terraform.State) error {
			return errors.Join(outlivesTheBroker(directory, "debci-rel-amd64")(nil),
				contains(filepath.Join(directory, "services/worker/etc/worker.conf"), "delivery_timeout = 48h"),
				contains(filepath.Join(directory, "services/web/etc/autopkgtest-cloud.conf"),
					"[management]\nurl = http://127.0.0.1:"),
				contains(filepath.Join(directory, "services/web/etc/autopkgtest-cloud.conf"),
					"\ncredentials_file = "+filepath.Join(directory, "credentials/rabbitmq-admin")+"\n"))
		}),
	}}
	damage := func(what string, changes []string, do func() error, seen ...plancheck.PlanCheck) {
		steps = append(steps, resource.TestStep{
			PreConfig: func() {
				t.Log(what)
				if err := do(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			},
			Config: configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             append(seen, onlyUpdates(changes)),
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: kept.check,
		})
	}
	remove := func(name string) func() error {
		return func() error { return os.RemoveAll(filepath.Join(directory, "services", name)) }
	}
	damage("the worker's folder is removed", []string{theWorker}, remove("worker"), had{theWorker, "status", "folder .* is gone"})
	damage("the website's folder is removed", []string{theWeb}, remove("web"), had{theWeb, "status", "folder .* is gone"})
	damage("the worker's configuration is edited", []string{theWorker}, func() error {
		return os.WriteFile(filepath.Join(directory, "services/worker/etc/worker.conf"), []byte("[amqp]\n"), 0o600)
	})
	damage("the website's configuration is edited", []string{theWeb}, func() error {
		return os.WriteFile(filepath.Join(directory, "services/web/etc/collector.conf"), []byte("[amqp]\n"), 0o600)
	})
	damage("the operator's configuration is removed", []string{theWeb}, func() error {
		return os.Remove(filepath.Join(directory, "services/web/etc/autopkgtest-cloud.conf"))
	})
	damage("there are new programs", []string{theWorker, theWeb}, func() error {
		return errors.Join(appendTo(filepath.Join(place, "linux_"+runtime.GOARCH, workerName), "\n"),
			appendTo(filepath.Join(place, "linux_"+runtime.GOARCH, collectorName), "\n"))
	}, had{theWorker, "binary", "^[0-9a-f]{64}$"}, had{theWeb, "binary", "^[0-9a-f]{64}$"})
	damage("the programs are removed from the stack", []string{theWorker, theWeb}, func() error {
		workers, err := filepath.Glob(filepath.Join(directory, "bin", workerName+"-*"))
		collectors, failed := filepath.Glob(filepath.Join(directory, "bin", collectorName+"-*"))
		err = errors.Join(err, failed)
		for _, program := range slices.Concat(workers, collectors) {
			err = errors.Join(err, os.Remove(program))
		}
		return err
	}, had{theWorker, "status", workerName + "-.* is gone or damaged"}, had{theWeb, "status", collectorName + "-.* is gone or damaged"})
	damage("the supervisor is killed", []string{brokerServer, storeServer, theWorker, theWeb}, func() error {
		return killSupervisor(directory)
	})
	damage("the broker's folder is removed", append([]string{brokerServer}, inBroker...), remove("rabbitmq"),
		had{"autopkgtest_request_queues.queues", "broker", "incarnation:"})
	damage("the store's folder is removed", append([]string{storeServer}, inStore...), remove("swift"),
		had{"autopkgtest_result_containers.results", "store", "incarnation:"}, had{storeServer, "store", "incarnation:"})
	damage("a part of the store is stopped for good", []string{storeServer}, func() error {
		return os.Remove(filepath.Join(directory, "sv", "swift-proxy"))
	}, had{storeServer, "status", "swift-proxy"})
	// A broker or a store that does not answer drops nothing from the state: the plan is about itself alone.
	damage("the broker is down", []string{brokerServer}, stopProcess(directory, "rabbitmq"))
	damage("the store is down", []string{storeServer}, stopProcess(directory, "swift-proxy"))
	steps = append(steps,
		resource.TestStep{
			Config:      stackConfiguration("other", directory, place, image, workerAtFirst, webAtFirst),
			ExpectError: regexp.MustCompile(`the\s+stack\s+"other"|belongs\s+to`),
		},
		resource.TestStep{ // the provider's kind of services becomes another, and nothing says that these should
			Config: strings.Replace(configuration, "\n}", "\n  system = true\n}", 1), PlanOnly: true,
			ExpectError: words(`(The stack's kind cannot be changed(.|\n)*){2}`), // the others wait for what these two say
		},
		systemWide(configuration, brokerServer, storeServer),
		systemWide(configuration, theWorker, theWeb),
		resource.TestStep{ // a change of what can be changed
			PreConfig: func() {
				if err := giveIn(given, directory, image); err != nil {
					t.Error(err)
				}
			},
			Config: second,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{onlyUpdates(append([]string{
					theWorker, theWeb, brokerServer, storeServer,
				}, slices.Concat(inBroker, inStore)...))},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: resource.ComposeTestCheckFunc(kept.check, changed(directory, given),
				resource.TestCheckResourceAttr(theWeb, "url", "https://results.example")),
		},
	)
	configuration = second
	for _, address := range []string{brokerServer, storeServer, theWorker, theWeb} {
		steps = append(steps, resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: directory, ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory", ImportStateVerifyIgnore: []string{"timeouts"},
		})
	}
	steps = append(steps, lostState(configuration)...)
	steps[len(steps)-1].Check = kept.check
	// What holds nothing that cannot be made again moves to a stack of its own. Only the worker's spool stays behind.
	steps = append(steps, resource.TestStep{
		Config: movedTo(other, configuration),
		ConfigPlanChecks: resource.ConfigPlanChecks{
			PreApply:             []plancheck.PlanCheck{onlyReplaces{theWorker, theWeb}},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		},
		Check: resource.ComposeTestCheckFunc(kept.check, changed(other, given),
			resource.TestCheckResourceAttr(theWeb, "operator_configuration", filepath.Join(other, "services/web/etc/autopkgtest-cloud.conf")),
			func(*terraform.State) error {
				left, err := filepath.Glob(filepath.Join(directory, "services/w*/*"))
				if spool := filepath.Join(directory, "services/worker/state"); err != nil || !slices.Equal(left, []string{spool}) {
					return fmt.Errorf("the old folder has %q: %w", left, err)
				}
				return os.RemoveAll(filepath.Join(directory, "services/worker"))
			}),
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})

	for _, folder := range []string{directory, other} {
		if _, err := os.Lstat(folder); err == nil {
			t.Errorf("the destroyed stack's folder %s is still there", folder)
		}
		if pids := processes(folder, ""); len(pids) > 0 {
			t.Errorf("the destroyed stack's processes %v still run", pids)
		}
	}
}

// movedTo puts the worker and the website into another folder.
func movedTo(folder, configuration string) string {
	return strings.NewReplacer(
		`resource "autopkgtest_worker" "worker" {`, fmt.Sprintf("resource \"autopkgtest_worker\" \"worker\" {\n  directory = %q", folder),
		`resource "autopkgtest_web" "web" {`, fmt.Sprintf("resource \"autopkgtest_web\" \"web\" {\n  directory = %q", folder),
	).Replace(configuration)
}

// systemWide has services become what only a machine with systemd can have.
func systemWide(configuration string, addresses ...string) resource.TestStep {
	step := resource.TestStep{PlanOnly: true}
	for _, address := range addresses {
		kind, name, _ := strings.Cut(address, ".")
		begin := fmt.Sprintf("resource %q %q {", kind, name)
		configuration = strings.Replace(configuration, begin, begin+"\n  system = true\n", 1)
		step.ConfigPlanChecks.PostApplyPreRefresh = append(step.ConfigPlanChecks.PostApplyPreRefresh,
			plancheck.ExpectResourceAction(address, plancheck.ResourceActionReplace))
	}
	step.Config, step.ExpectNonEmptyPlan = configuration, true
	if host.CheckSystem() != nil {
		step.ExpectError = words(fmt.Sprintf(`(The service cannot be system-wide here(.|\n)*system = true(.|\n)*){%d}`, len(addresses)))
	}
	return step
}

// withTimeouts gives each resource of a configuration more time, which changes nothing but that.
func withTimeouts(configuration string) string {
	return regexp.MustCompile(`resource "\w+" "\w+" \{\n?`).ReplaceAllString(configuration,
		"$0\n  timeouts = { create = \"20m\", update = \"20m\" }\n")
}

// hashOf compares a value with the SHA-256 of a file, as that is now.
func hashOf(path string) resource.CheckResourceAttrWithFunc {
	return func(value string) error {
		content, err := os.ReadFile(path)
		if hash := fmt.Sprintf("%x", sha256.Sum256(content)); err == nil && hash != value {
			err = fmt.Errorf("%s has the hash %s, and not %s", path, hash, value)
		}
		return err
	}
}

// wholeStack looks whether all services run, with the programs that are at hand.
func wholeStack(directory, place string) resource.TestCheckFunc {
	program := func(name string) string { return filepath.Join(place, "linux_"+runtime.GOARCH, name) }
	return resource.ComposeAggregateTestCheckFunc(
		resource.TestCheckResourceAttr(storeServer, "status", running),
		resource.TestCheckResourceAttr(theWorker, "status", running),
		resource.TestCheckResourceAttr(theWeb, "status", running),
		resource.TestCheckResourceAttrWith(theWorker, "binary", hashOf(program(workerName))),
		resource.TestCheckResourceAttrWith(theWeb, "binary", hashOf(program(collectorName))),
		resource.TestCheckResourceAttr(theWeb, "operator_configuration", filepath.Join(directory, "services/web/etc/autopkgtest-cloud.conf")),
	)
}

// changed looks whether the services run with what workerChanged, webChanged and givenIn say.
func changed(directory, given string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		worker, err := config.LoadWorker(filepath.Join(directory, "services/worker/etc/worker.conf"))
		if err != nil {
			return err
		}
		file := func(name string) string { return filepath.Join(given, name) }
		got := []any{
			worker.Contexts, worker.DrainTimeout, worker.Slots, worker.SpoolPatience, worker.Timeout, worker.DeliveryTimeout,
			worker.Releases, worker.Architectures, worker.BrokerCredentials, worker.StoreCredentials, worker.Images,
		}
		want := []any{
			[]string{"huge", "ppa"}, 2 * time.Second, 3, 13 * time.Hour, 3 * time.Hour, 40 * time.Hour,
			[]string{"next", "rel"}, []string{"amd64", "i386"}, file("the-worker"), file("swift-worker"), given,
		}
		if difference := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); difference != "" {
			return fmt.Errorf("the worker's configuration: %s", difference)
		}
		site, err := config.LoadCollector(filepath.Join(directory, "services/web/etc/collector.conf"))
		if err != nil {
			return err
		}
		address, err := url.Parse(site.StoreURL)
		if err != nil {
			return err
		}
		got = []any{site.Architectures, site.Releases, site.Listen, site.ExternalURL, site.BrokerCredentials, address.Hostname()}
		want = []any{
			[]string{"amd64", "i386"}, []string{"next", "rel"}, "127.0.0.2:28461", "https://results.example", file("the-collector"), "localhost",
		}
		if difference := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); difference != "" {
			return fmt.Errorf("the website's configuration: %s", difference)
		}
		operator, err := config.LoadOperator(filepath.Join(directory, "services/web/etc/autopkgtest-cloud.conf"))
		if err == nil && (operator.BrokerCredentials != "" || operator.ManagementURL != "") {
			err = fmt.Errorf("the operator's configuration is that of before: %+v", operator)
		}
		return err
	}
}

// outlivesTheBroker looks for a queue where a broker that is killed surely finds it: in its tables, not only in its log.
func outlivesTheBroker(directory, queue string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		paths, err := filepath.Glob(filepath.Join(directory, "services/rabbitmq/data/*/rabbit_durable_queue.DC?"))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if content, err := os.ReadFile(path); err != nil || bytes.Contains(content, []byte(queue)) {
				return err
			}
		}
		return fmt.Errorf("the queue %s is in none of %q", queue, paths)
	}
}

func stopProcess(directory, name string) func() error {
	return func() error {
		out, err := exec.Command("sv", "-w", "30", "down", filepath.Join(directory, "sv", name)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

func makeExecutable(place string) error {
	return filepath.WalkDir(place, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}

func killSupervisor(directory string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm"))
		folder, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && strings.TrimSpace(string(name)) == "runsvdir" && folder == directory {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("no runsvdir in %s", directory)
}

// lostState forgets every resource and applies again: all of it is adopted.
func lostState(configuration string) []resource.TestStep {
	provider, _, _ := strings.Cut(configuration, "resource ")
	forget := provider
	for _, name := range slices.Concat([]string{brokerServer, storeServer, theWorker, theWeb}, inBroker, inStore) {
		forget += fmt.Sprintf("removed {\n  from = %s\n  lifecycle {\n    destroy = false\n  }\n}\n", name)
	}
	return []resource.TestStep{{Config: forget}, {Config: configuration}}
}

// remembered is what must not change: everybody's password.
type remembered struct {
	directory string
	files     map[string]string
}

func (r *remembered) read() (map[string]string, error) {
	files := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(r.directory, "credentials", "*"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no credentials in %s: %w", r.directory, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[filepath.Base(path)] = string(content)
	}
	return files, nil
}

func (r *remembered) remember(*terraform.State) (err error) {
	r.files, err = r.read()
	return err
}

func (r *remembered) check(*terraform.State) error {
	files, err := r.read()
	if err != nil {
		return err
	}
	for name, content := range r.files {
		if files[name] != content {
			return fmt.Errorf("the credentials file %s has changed", name)
		}
	}
	return nil
}

func contains(path, text string) error {
	content, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(content, []byte(text)) {
		err = fmt.Errorf("%s has no %q:\n%s", path, text, content)
	}
	return err
}
