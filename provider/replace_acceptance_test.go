//go:build acceptance

package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// holdingConfiguration has the two services that hold something, and what lives in them.
func holdingConfiguration(directory, inBroker, inStore string) string {
	return providerBlock("acc", directory) + fmt.Sprintf(`
resource "autopkgtest_rabbitmq_server" "broker" {
  %s
}

resource "autopkgtest_swift_server" "store" {
  %s
}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_broker_user" "requester" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "the-requester"
  role   = "requester"
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
`, inBroker, inStore)
}

const heldQueue, heldContainer = "debci-rel-amd64", "autopkgtest-rel"

// TestAccReplace replaces broker and store: what they hold is still there, and what lives in them is not touched. It stays behind
// when they move to another folder, and is there again when they come back. A destroy is refused as long as it would lose something.
func TestAccReplace(t *testing.T) {
	t.Parallel()
	directory, other := newStack(t), newStack(t)
	h := holding{t: t, directory: directory, kept: &remembered{directory: directory}}
	plain := holdingConfiguration(directory, "", "")
	replace := func(address string) resource.TestStep {
		return resource.TestStep{
			Config: plain, Taint: []string{address},
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyReplaces{address}},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: resource.ComposeTestCheckFunc(h.kept.check, h.check),
		}
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: plain, Check: resource.ComposeTestCheckFunc(h.kept.remember, h.fill)},
		replace(brokerServer),
		replace(storeServer),
		moved(directory, other, func(*terraform.State) error {
			if err := h.check(nil); err == nil {
				return errors.New("what the old services hold is in the new ones")
			}
			return nil
		}),
		moved(directory, directory, resource.ComposeTestCheckFunc(h.kept.check, h.check)),
		{
			Config: holdingConfiguration(directory, "", "force_destroy = true"), Destroy: true,
			ExpectError: regexp.MustCompile(`Messages stand in debci-rel-amd64 \(2\)`),
		},
		{
			Config: holdingConfiguration(directory, "allow_message_loss = true", ""), Destroy: true,
			ExpectError: regexp.MustCompile(`Results are in autopkgtest-rel`),
		},
		{
			Config: holdingConfiguration(directory, "allow_message_loss = true", "force_destroy = true"),
			Check:  h.check, // the refused destroys have removed nothing
		},
	}})
	if pids := processes(directory, ""); len(pids) > 0 {
		t.Errorf("the destroyed stack's processes %v still run", pids)
	}
}

// moved has broker and store of a stack in a folder of their own. What lives in them is made there, too.
func moved(directory, folder string, check resource.TestCheckFunc) resource.TestStep {
	attribute := fmt.Sprintf("directory = %q", folder)
	return resource.TestStep{
		Config: holdingConfiguration(directory, attribute, attribute),
		ConfigPlanChecks: resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(brokerServer, plancheck.ResourceActionReplace),
				plancheck.ExpectResourceAction(storeServer, plancheck.ResourceActionReplace),
				plancheck.ExpectResourceAction("autopkgtest_request_queues.queues", plancheck.ResourceActionUpdate),
				plancheck.ExpectResourceAction("autopkgtest_result_containers.results", plancheck.ResourceActionUpdate),
			},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		},
		Check: resource.ComposeTestCheckFunc(
			resource.TestCheckResourceAttr(brokerServer, "directory", folder),
			resource.TestCheckResourceAttr(storeServer, "directory", folder), check),
	}
}

// holding is what the services of a stack hold.
type holding struct {
	t         *testing.T
	directory string
	kept      *remembered
}

func (h *holding) connect(file string) (*amqp.Channel, error) {
	account, err := config.ReadBroker(filepath.Join(h.directory, "credentials", file))
	if err != nil {
		return nil, err
	}
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { _ = connection.Close() })
	return connection.Channel()
}

func (h *holding) store() (*swiftstore.Store, error) {
	account, err := config.ReadStore(filepath.Join(h.directory, "credentials", "swift-worker"))
	if err != nil {
		return nil, err
	}
	return swiftstore.New(account), nil
}

// fill puts a result into the store, and two requests into a queue, of which somebody has the first.
func (h *holding) fill(*terraform.State) error {
	s, err := h.store()
	if err != nil {
		return err
	}
	content := "a result"
	if err := s.Put(h.t.Context(), heldContainer, "rel/result.tar", strings.NewReader(content), int64(len(content)),
		store.Properties{}); err != nil {
		return err
	}
	channel, err := h.connect("rabbitmq-admin")
	if err != nil {
		return err
	}
	for _, body := range []string{"first\n{}", "second\n{}"} {
		message := amqp.Publishing{
			Body: []byte(body), DeliveryMode: amqp.Persistent, ContentEncoding: "UTF-8", Headers: amqp.Table{"x-of": body},
		}
		if err := published(channel, "", heldQueue, message); err != nil {
			return err
		}
	}
	_, _, err = channel.Get(heldQueue, false)
	return err
}

// check looks for both requests, without taking any: the first one was given out before, and says so.
func (h *holding) check(*terraform.State) error {
	s, err := h.store()
	if err != nil {
		return err
	}
	body, _, err := s.Get(h.t.Context(), heldContainer, "rel/result.tar")
	if err != nil {
		return err
	}
	_ = body.Close()
	if _, err := h.connect("the-requester"); err != nil {
		return fmt.Errorf("the requester's password: %w", err)
	}
	channel, err := h.connect("rabbitmq-admin")
	if err != nil {
		return err
	}
	defer channel.Close()
	for i, want := range []string{"first\n{}", "second\n{}"} {
		got, there, err := channel.Get(heldQueue, false)
		switch {
		case err != nil || !there:
			return fmt.Errorf("request %d is not there: %w", i, err)
		case string(got.Body) != want || got.Headers["x-of"] != want || got.ContentEncoding != "UTF-8":
			return fmt.Errorf("request %d is %q with %v, want %q", i, got.Body, got.Headers, want)
		case i == 0 && !got.Redelivered:
			return fmt.Errorf("request %q does not say that it was given out before", got.Body)
		}
	}
	return nil
}

// TestAccDestroyOfABeginning: a broker whose creation was broken off before anybody could log in to it holds nothing. One that was
// finished, and does not answer, may.
func TestAccDestroyOfABeginning(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	configuration := providerBlock("acc", directory) + `
resource "autopkgtest_rabbitmq_server" "broker" {
}
`
	silence := func() {
		if err := stopProcess(directory, "rabbitmq")(); err != nil {
			t.Error(err)
		}
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{PreConfig: silence, Config: configuration, Destroy: true, ExpectError: words("Whether requests wait in the broker is not known")},
		{
			PreConfig: func() {
				marks, err := filepath.Glob(filepath.Join(directory, "services/rabbitmq/data/*/autopkgtest-cloud-incarnation"))
				if err != nil || len(marks) != 1 {
					t.Fatalf("marks of a finished broker: %q, %v", marks, err)
				}
				if err := os.Remove(marks[0]); err != nil {
					t.Fatal(err)
				}
			},
			Config: configuration, Destroy: true,
		},
	}})
}
