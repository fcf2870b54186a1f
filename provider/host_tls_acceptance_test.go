//go:build acceptance

package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine/sshdtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// farTLS is a broker with TLS on one machine, whose clients are on another one: what each of the three knows of its authority.
type farTLS struct {
	here, broker, clients string // folders
}

// authority is the certificate of the broker's authority, where it is made.
func (f farTLS) authority() string { return filepath.Join(f.broker, "services/rabbitmq/tls/ca.pem") }

// copies of it, for the users' files here, and for those beside the clients.
func (f farTLS) ours() (all []string) {
	for _, user := range []string{"the-worker", "the-collector", "the-requester"} {
		all = append(all, filepath.Join(f.here, "credentials", user+".ca.pem"))
	}
	return all
}

func (f farTLS) theirs() (all []string) {
	for _, name := range []string{"worker/etc/broker", "web/etc/broker", "web/etc/operator"} {
		all = append(all, filepath.Join(f.clients, "services", name+".ca.pem"))
	}
	return all
}

// known says whether all of some copies are what the broker has.
func (f farTLS) known(copies ...string) error {
	want, err := os.ReadFile(f.authority())
	for _, file := range copies {
		got, failed := os.ReadFile(file)
		if err = errors.Join(err, failed); failed == nil && string(got) != string(want) {
			err = errors.Join(err, fmt.Errorf("%s is not the authority's certificate", file))
		}
	}
	return err
}

// connected says whether what the clients have leads to the broker, over TLS, and to the store.
func (f farTLS) connected(t *testing.T) error {
	var all error
	for _, name := range []string{"worker/etc/broker", "web/etc/broker", "web/etc/operator"} {
		file := filepath.Join(f.clients, "services", name)
		account, err := config.ReadBroker(file)
		if err == nil && (!account.TLS || account.CAFile != file+".ca.pem") {
			err = fmt.Errorf("%s leads to %s, TLS %v, authority %q", file, account.Address(), account.TLS, account.CAFile)
		}
		if err == nil {
			var session *queue.Session
			if session, err = queue.Dial(t.Context(), account); err == nil {
				err = session.Close()
			}
		}
		all = errors.Join(all, err)
	}
	return errors.Join(all, f.stores(t))
}

func (f farTLS) stores(t *testing.T) error {
	account, err := config.ReadStore(filepath.Join(f.clients, "services/worker/etc/store"))
	if err == nil {
		_, err = swiftstore.New(account).Containers(t.Context())
	}
	return err
}

// TestAccHostTLS: the certificate of a broker's authority comes to its clients on other machines as their passwords do, is put
// there again where it is lost, and follows when the broker gets another one. So does the address of their store.
func TestAccHostTLS(t *testing.T) {
	t.Parallel()
	second := sshdtest.New(t)
	second.Target.Address = "localhost"
	m := newOtherMachine(t)
	f := farTLS{here: newStack(t), broker: newStack(t), clients: newStack(t)}
	image := standIn(t, f.clients)
	configuration := func(server, user, listen string) string {
		text := stackConfiguration("far", f.here, programs, image, workerAtFirst, webAtFirst)
		text = regexp.MustCompile(`(?m)^  role .*$`).ReplaceAllString(text, "$0\n  "+user)
		for _, service := range []struct {
			begin, more, place, directory string
		}{
			{`resource "autopkgtest_rabbitmq_server" "broker" {`, server, hostBlock(m.Target), f.broker},
			{`resource "autopkgtest_swift_server" "store" {`, fmt.Sprintf("listen = %q", listen), hostBlock(m.Target), f.broker},
			{`resource "autopkgtest_worker" "worker" {`, "", hostBlock(second.Target), f.clients},
			{`resource "autopkgtest_web" "web" {`, "", hostBlock(second.Target), f.clients},
		} {
			text = strings.Replace(text, service.begin,
				fmt.Sprintf("%s\n%s\ndirectory = %q\n%s\n", service.begin, service.place, service.directory, service.more), 1)
		}
		return text
	}
	secure := configuration("tls = {}", "tls_endpoint = autopkgtest_rabbitmq_server.broker.tls_endpoint", "127.0.0.9")
	plain, moved := configuration("", "", "127.0.0.9"), configuration("", "", "127.0.0.10")
	users := []string{"autopkgtest_broker_user.collector", "autopkgtest_broker_user.requester", "autopkgtest_broker_user.worker"}
	clients := []string{theWorker, theWeb}
	plans := func(changes ...string) resource.ConfigPlanChecks {
		return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{onlyUpdates(changes)}}
	}
	check := func(do func() error) resource.TestCheckFunc { return func(*terraform.State) error { return do() } }
	everywhere := func() error { return errors.Join(f.known(f.ours()...), f.known(f.theirs()...), f.connected(t)) }
	damage := func(do func() error) func() {
		return func() {
			if err := do(); err != nil {
				t.Error(err)
			}
		}
	}
	var running []int
	processesOfClients := func() []int { return append(processes(f.clients, "worker"), processes(f.clients, "web")...) }
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: []resource.TestStep{
		{
			Config: secure,
			Check: resource.ComposeTestCheckFunc(
				resource.TestMatchResourceAttr(brokerServer, "tls_endpoint.ca_file", regexp.MustCompile(`^ssh://.*/ca\.pem`)),
				check(func() error { running = processesOfClients(); return everywhere() })),
		},
		{ // a client's copy is damaged
			PreConfig:        damage(func() error { return os.WriteFile(f.theirs()[0], []byte("damaged"), 0o644) }),
			Config:           secure,
			ConfigPlanChecks: plans(theWorker),
			Check:            check(everywhere),
		},
		{ // one here is lost, and one is somebody else's
			PreConfig: damage(func() error {
				return errors.Join(os.Remove(f.ours()[1]), os.WriteFile(f.ours()[2], []byte("somebody else's"), 0o600))
			}),
			Config:           secure,
			ConfigPlanChecks: plans(append(users[:2:2], theWeb)...),
			Check:            check(everywhere),
		},
		{ // another authority
			PreConfig:        damage(func() error { return os.RemoveAll(filepath.Dir(f.authority())) }),
			Config:           secure,
			ConfigPlanChecks: plans(slices.Concat(users, clients, []string{brokerServer})...),
			Check: check(func() error {
				err := everywhere()
				if now := processesOfClients(); !slices.Equal(now, running) {
					err = errors.Join(err, fmt.Errorf("clients were restarted: %v, then %v", running, now))
				}
				return err
			}),
		},
		{
			Config: plain,
			Check: check(func() error {
				if left := existing(append(f.ours(), f.theirs()...)); len(left) > 0 {
					return fmt.Errorf("%v are left behind", left)
				}
				return nil
			}),
		},
		{ // the website is told the store's address; that in the credentials is written on the store's machine
			Config:             moved,
			ExpectNonEmptyPlan: true,
		},
		{
			Config:           moved,
			ConfigPlanChecks: plans(theWorker),
			Check:            check(func() error { return f.stores(t) }),
		},
	}})
	if left := existing([]string{f.here, f.broker, f.clients}); len(left) > 0 {
		t.Errorf("%v are left behind", left)
	}
}

func existing(files []string) (there []string) {
	for _, file := range files {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, file)
		}
	}
	return there
}
