//go:build acceptance

package provider

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// taken is a request that a worker holds.
type taken struct {
	connection *amqp.Connection
	delivery   amqp.Delivery
}

// take takes a request out of a queue, as a busy worker does.
func take(t *testing.T, s *sharedStack, name string) taken {
	t.Helper()
	account, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	delivery, found, err := channel.Get(name, false)
	if err != nil || !found {
		t.Fatalf("nothing to take from %s: %v", name, err)
	}
	return taken{connection, delivery}
}

// finish acknowledges the request and takes and acknowledges the rest, after a while.
func (w taken) finish(t *testing.T, after time.Duration, name string) {
	time.Sleep(after) // what a test of a package takes
	if err := w.delivery.Ack(false); err != nil {
		t.Error(err)
	}
	channel, err := w.connection.Channel()
	if err != nil {
		t.Error(err)
		return
	}
	for {
		delivery, found, err := channel.Get(name, false)
		if err != nil || !found {
			return
		}
		if err := delivery.Ack(false); err != nil {
			t.Error(err)
		}
	}
}

// TestAccRequestQueuesDrain retires a release while a worker works on its requests.
func TestAccRequestQueuesDrain(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	one, two := unique("rel"), unique("rel")
	both, kept := fmt.Sprintf("%q, %q", one, two), fmt.Sprintf("%q", one)
	name := "debci-" + two + "-amd64"
	there := func(want bool) resource.TestCheckFunc {
		return func(*terraform.State) error {
			queues, err := s.management.Queues(ctx)
			if _, got := queues[name]; err == nil && got != want {
				err = fmt.Errorf("%s is there: %v, want %v", name, got, want)
			}
			return err
		}
	}
	var worker taken
	var wait sync.WaitGroup
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: queuesConfiguration(s, both, "")},
		{ // a request that runs counts, also when none waits; and two
			PreConfig: func() {
				publish(t, s, name)
				worker = take(t, s, name)
			},
			Config:      queuesConfiguration(s, kept, `drain_timeout = "0s"`),
			ExpectError: regexp.MustCompile(`Requests stand in ` + name + `\s+\(1\s+request,\s+1\s+running\)`),
		},
		{ // not in time: the apply says how many are left
			PreConfig:   func() { publish(t, s, name) },
			Config:      queuesConfiguration(s, kept, `drain_timeout = "2s"`),
			ExpectError: regexp.MustCompile(`Requests stand in ` + name + `\s+\(2\s+requests,\s+1\s+running\)[\s\S]*waited\s+2s`),
		},
		{Config: queuesConfiguration(s, both, ""), Check: there(true)},
		{ // a destroy is refused in the plan, whatever it is for which the default is
			Config: queuesConfiguration(s, both, ""), Destroy: true, ExpectError: regexp.MustCompile(`2\s+requests,\s+1\s+running`),
		},
		{ // in time
			PreConfig: func() { wait.Go(func() { worker.finish(t, 3*time.Second, name) }) },
			Config:    queuesConfiguration(s, kept, `drain_timeout = "1m"`),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(queuesAddress, plancheck.ResourceActionUpdate),
			}},
			Check: there(false),
		},
	}})
	wait.Wait()
}

// TestAccRequestQueuesDeclaredOtherwise: a queue that clients cannot use is made anew, when nothing stands in it.
func TestAccRequestQueuesDeclaredOtherwise(t *testing.T) {
	t.Parallel()
	s := shared(t)
	release := unique("rel")
	name := "debci-" + release + "-amd64"
	configuration := func(extra string) string {
		return queuesConfiguration(s, fmt.Sprintf("%q", release), "contexts = [\"normal\"]\n"+extra)
	}
	account, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare(name, true, false, false, false, amqp.Table{"x-max-priority": int32(3)}); err != nil {
		t.Fatal(err)
	}
	publish(t, s, name)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config:      configuration(`drain_timeout = "0s"`),
			ExpectError: regexp.MustCompile(`Requests stand in ` + name + `\s+\(1\s+request\)`),
		},
		{
			PreConfig: func() {
				if err := take(t, s, name).delivery.Ack(false); err != nil {
					t.Error(err)
				}
			},
			Config: configuration(""),
			Check: func(*terraform.State) error {
				queues, err := s.management.Queues(context.Background())
				if err == nil && !queues[name].Plain {
					err = fmt.Errorf("still declared otherwise: %+v", queues[name])
				}
				return err
			},
		},
	}})
}
