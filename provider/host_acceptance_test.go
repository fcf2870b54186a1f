//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine/sshdtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

// otherMachine is a machine for services, and a provider that reaches it with nothing but what the configuration says.
type otherMachine struct {
	*sshdtest.Machine
	factories map[string]func() (tfprotov6.ProviderServer, error)
}

func newOtherMachine(t *testing.T, sshd ...string) *otherMachine {
	t.Helper()
	m := &otherMachine{Machine: sshdtest.New(t, sshd...)}
	pool := &machine.Pool{Folder: m.Folder, Agent: "/nonexistent", Programs: m.Programs}
	server := NewServer("test", Options{Pool: pool, Program: filepath.Join(programs, programName)})
	m.factories = map[string]func() (tfprotov6.ProviderServer, error){
		"autopkgtest": func() (tfprotov6.ProviderServer, error) { return server, nil },
	}
	t.Cleanup(func() {
		server.Close()
		pool.Close()
		for deadline := time.Now().Add(20 * time.Second); len(m.Agents()) > 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the processes %v of the provider at the other end have not ended", m.Agents())
				return
			}
		}
	})
	return m
}

func hostBlock(t machine.Target) string {
	user := ""
	if t.User != machine.DefaultUser {
		user = fmt.Sprintf("user = %q", t.User)
	}
	return fmt.Sprintf("host = {\n address = %q\n port = %d\n %s\n identity_file = %q\n host_key = %q\n}",
		t.Address, t.Port, user, t.IdentityFile, t.HostKey)
}

// inPlaceOnly expects that a plan removes and replaces nothing.
type inPlaceOnly struct{}

func (inPlaceOnly) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, change := range req.Plan.ResourceChanges {
		if actions := change.Change.Actions; !actions.NoOp() && !actions.Update() {
			resp.Error = fmt.Errorf("the plan is to %v %s", actions, change.Address)
		}
	}
}

// onHost puts every service of a configuration on a machine, into a folder there.
func onHost(configuration string, t machine.Target, directory string) string {
	services := regexp.MustCompile(`resource "autopkgtest_(rabbitmq_server|swift_server|testbed_image|worker|web)" "[a-z]+" {`)
	return services.ReplaceAllStringFunc(configuration, func(begin string) string {
		return fmt.Sprintf("%s\n%s\ndirectory = %q\n", begin, hostBlock(t), directory)
	})
}

// TestAccHost deploys a stack to another machine, breaks what can break between the two, and removes it. The provider's own folder
// is here and the stack's is there, though both are on the machine that runs the test.
func TestAccHost(t *testing.T) {
	t.Parallel()
	m := newOtherMachine(t)
	here, there := newStack(t), newStack(t)
	image := standIn(t, there)
	giveImage(t, makeStack(t, there), "rel", hostArchitecture())
	mirror, _ := releaseServer(t, "rel")
	plain := strings.ReplaceAll(stackConfiguration("acc", here, programs, image, workerAtFirst, webAtFirst), `" {}`, "\" {\n}") +
		fmt.Sprintf("resource \"autopkgtest_testbed_image\" \"test\" {\n  release = \"rel\"\n  mirror = %q\n}\n", mirror)
	atFirst := m.Target
	atFirst.IdentityFile = m.Key("identity-of-before")
	m.Authorize("identity-of-before", "identity")
	configuration, rerouted := onHost(plain, atFirst, there), onHost(plain, m.Target, there)
	// Where a user's credentials are made, and what a service keeps of them.
	kept := map[string]string{
		filepath.Join(here, "credentials/the-worker"):    filepath.Join(there, "services/worker/etc/broker"),
		filepath.Join(here, "credentials/the-collector"): filepath.Join(there, "services/web/etc/broker"),
	}
	var services []int // their processes
	look := func() []int { return slices.Concat(processes(there, "worker"), processes(there, "web")) }
	empty := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	// The apply that makes a password brings it to the other machine, where nothing is restarted, and leaves nothing to the next one.
	carried := func(changes ...string) resource.TestStep {
		return resource.TestStep{
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyUpdates(changes)},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: func(state *terraform.State) (err error) {
				if now := look(); !slices.Equal(now, services) {
					err = fmt.Errorf("services were restarted: %v, then %v", services, now)
				}
				for file, copied := range kept {
					err = errors.Join(err, arrived(t, state, there, file, copied))
				}
				return err
			},
		}
	}
	lost := carried(theWorker, "autopkgtest_broker_user.worker")
	lost.Config, lost.PreConfig = configuration, func() {
		if err := os.Remove(filepath.Join(here, "credentials/the-worker")); err != nil {
			t.Error(err)
		}
	}
	exposed := carried(theWorker, "autopkgtest_broker_user.worker")
	exposed.Config, exposed.PreConfig = configuration, func() {
		if err := os.Chmod(filepath.Join(here, "credentials/the-worker"), 0o644); err != nil {
			t.Error(err)
		}
	}
	rotation := carried(theWorker, theWeb, "autopkgtest_broker_user.worker", "autopkgtest_broker_user.collector")
	rotation.Config = regexp.MustCompile(`role += "(worker|collector)"`).ReplaceAllString(rerouted, "$0\n  rotation = \"2026-11\"")

	foreign, stranger := atFirst, atFirst
	foreign.HostKey = strings.TrimSpace(fileContent(t, m.Key("other")+".pub"))
	stranger.User = "nobody"
	steps := []resource.TestStep{
		{
			Config: configuration,
			Check: resource.ComposeTestCheckFunc(
				resource.TestMatchResourceAttr(brokerServer, "broker.credentials_file", regexp.MustCompile(
					fmt.Sprintf(`^ssh://[a-z]+@127\.0\.0\.1:%d%s/`, m.Target.Port, regexp.QuoteMeta(there)))),
				func(*terraform.State) error {
					for _, copied := range kept {
						if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
							return fmt.Errorf("the copy %s is %v, %w", copied, info, err)
						}
					}
					return nil
				}),
		},
		{
			PreConfig: func() {
				if err := os.RemoveAll(filepath.Join(there, "services/web")); err != nil {
					t.Error(err)
				}
			},
			Config:           configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{onlyUpdates{theWeb}}},
			Check: func(*terraform.State) error {
				services = look()
				return nil
			},
		},
		lost,
		exposed,
		{
			PreConfig:   m.Stop,
			Config:      configuration,
			ExpectError: regexp.MustCompile(`(?s)Could not look at autopkgtest_.*cannot\s+be\s+reached`),
		},
		{PreConfig: m.Start, Config: configuration, ConfigPlanChecks: empty},
		{Config: onHost(plain, foreign, there), ExpectError: regexp.MustCompile(`(?s)shows\s+another\s+key`)},
		{Config: onHost(plain, stranger, there), ExpectError: regexp.MustCompile(`(?s)accepts\s+no\s+key\s+of\s+yours`)},
		{Config: configuration, ConfigPlanChecks: empty},
		{ // another way to the machine, where all of it goes on
			Config: rerouted,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{
					had{brokerServer, "host", "identity-of-before"}, had{storeServer, "host", "identity-of-before"},
					had{imageAddress, "host", "identity-of-before"}, had{theWorker, "host", "identity-of-before"},
					had{theWeb, "host", "identity-of-before"}, inPlaceOnly{},
				},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: func(*terraform.State) error {
				if now := look(); !slices.Equal(now, services) {
					return fmt.Errorf("services were restarted: %v, then %v", services, now)
				}
				return nil
			},
		},
		rotation,
	}
	for _, address := range []string{brokerServer, storeServer, theWorker, theWeb} {
		steps = append(steps, resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: m.Target.File(there), ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory",
			// The copies are what the services read, and all that they know.
			ImportStateVerifyIgnore: []string{"broker_credentials_file", "operator_credentials_file"},
		})
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: steps})
	for _, folder := range []string{here, there} {
		if _, err := os.Lstat(folder); err == nil {
			t.Errorf("%s is left behind", folder)
		}
	}
	if left := processes(there, ""); len(left) > 0 {
		t.Errorf("the processes %v are left behind", left)
	}
}

// arrived says whether a service on another machine has the credentials that are in a file, and is connected with them.
func arrived(t *testing.T, state *terraform.State, stack, file, copied string) error {
	t.Helper()
	if want, got := fileContent(t, file), fileContent(t, copied); want != got {
		return fmt.Errorf("%s is not what is in %s", copied, file)
	}
	account, err := config.ReadBroker(file)
	if err != nil {
		return err
	}
	administrator, err := config.ReadBroker(filepath.Join(stack, "credentials/rabbitmq-admin"))
	if err != nil {
		return err
	}
	address := state.RootModule().Resources[brokerServer].Primary.Attributes["broker.management_url"]
	client, err := management.New(address, administrator.Username, administrator.Password)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		connected, err := client.Connected(t.Context(), account.Username)
		if err != nil || connected {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody is connected as %s", account.Username)
		}
	}
}

func fileContent(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestAccHostInterrupted breaks an apply on a machine whose address comes with it, and has the next one finish the work. Then the
// machine gets another name, which makes it another machine, where the store finds its own data.
func TestAccHostInterrupted(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(*otherMachine){
		"the provider at the other end is killed": func(m *otherMachine) {
			for _, pid := range m.Agents() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		},
		"the connection is lost": func(m *otherMachine) { m.Stop(); m.Start() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newOtherMachine(t)
			there := newStack(t)
			configuration := func(address string) string {
				block := strings.Replace(hostBlock(m.Target), `address = "127.0.0.1"`, "address = terraform_data.machine.output", 1)
				return fmt.Sprintf(`
provider "autopkgtest" {
  binaries = %q
}

resource "terraform_data" "machine" {
  input = %q
}

resource "autopkgtest_swift_server" "store" {
  %s
  directory = %q
}
`, programs, address, block, there)
			}
			done := make(chan bool, 1)
			breaks := func() {
				m.Stop() // it is still booting, longer than a look at it may take
				go func() {
					defer close(done)
					time.Sleep(12 * time.Second)
					m.Start()
					for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
						if _, err := os.Lstat(filepath.Join(there, "services/swift")); err == nil {
							do(m)
							done <- true
							return
						}
					}
				}()
			}
			var incarnation string
			kept := func(state *terraform.State) error {
				found := state.RootModule().Resources[storeServer].Primary.Attributes["store.incarnation"]
				if incarnation != "" && found != incarnation {
					return fmt.Errorf("the store began anew: %s, then %s", incarnation, found)
				}
				incarnation = found
				return nil
			}
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: []resource.TestStep{
				{
					PreConfig: breaks, Config: configuration("127.0.0.1"),
					ExpectError: regexp.MustCompile(`(?s)was\s+lost,\s+or\s+the\s+provider\s+on\s+it\s+has\s+ended`),
				},
				{
					Config: configuration("127.0.0.1"),
					Check:  resource.ComposeTestCheckFunc(resource.TestCheckResourceAttr(storeServer, "status", running), kept),
				},
				{
					Config: configuration("localhost"),
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(storeServer, plancheck.ResourceActionDestroyBeforeCreate),
					}},
					Check: resource.ComposeTestCheckFunc(
						resource.TestMatchResourceAttr(storeServer, "store.credentials_file", regexp.MustCompile("@localhost:")), kept),
				},
			}})
			if !<-done {
				t.Error("nothing was broken")
			}
		})
	}
}

// TestAccHostArchitecture: a machine for which there are no programs is refused by the plan.
func TestAccHostArchitecture(t *testing.T) {
	t.Parallel()
	fake := t.TempDir()
	programtest.Write(t, filepath.Join(fake, "uname"), "#!/bin/sh\necho Linux riscv64\n")
	m := newOtherMachine(t, "SetEnv PATH="+fake+":/usr/bin:/bin")
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: []resource.TestStep{{
		Config: onHost(fmt.Sprintf("provider \"autopkgtest\" {\n binaries = %q\n}\nresource \"autopkgtest_swift_server\" \"store\" {\n}\n",
			programs), m.Target, newStack(t)),
		ExpectError: regexp.MustCompile(`(?s)has\s+the\s+architecture\s+riscv64,\s+for\s+which\s+there\s+are\s+no\s+programs`),
	}}})
}
