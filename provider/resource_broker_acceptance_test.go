//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func TestAccBroker(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	s.fanouts.Lock() // the exchanges and guest have fixed names
	defer s.fanouts.Unlock()
	const address = "autopkgtest_broker.test"
	configuration := s.configuration(`
resource "autopkgtest_broker" "test" {
  broker = BROKER
}
`)
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	hardened := func(*terraform.State) error {
		for _, exchange := range management.Fanouts {
			if right, err := s.management.ExchangeIs(ctx, exchange); err != nil || !right {
				return fmt.Errorf("exchange %s: right=%t, %w", exchange.Name, right, err)
			}
		}
		if problem, err := rejectedProblem(ctx, s.management); err != nil || problem != "" {
			return fmt.Errorf("%s, %w", problem, err)
		}
		if _, err := s.management.User(ctx, guest); !errors.Is(err, management.ErrNotFound) {
			return fmt.Errorf("guest is there: %w", err)
		}
		return nil
	}
	makeGuest := func() {
		must(s.management.PutUser(ctx, management.User{
			Name: guest, PasswordHash: management.HashPassword(guest), Tags: []string{"administrator"},
		}))
	}
	makeGuest()
	steps := []resource.TestStep{{Config: configuration, Check: hardened}}
	steps = append(steps, repaired(address, "the user guest is there", configuration, makeGuest)...)
	steps = append(steps, repaired(address, "testcomplete.fanout is missing", configuration, func() {
		must(s.management.DeleteExchange(ctx, "testcomplete.fanout"))
	})...)
	steps = append(steps, repaired(address, "teststatus.fanout has other settings", configuration, func() {
		must(s.management.DeleteExchange(ctx, "teststatus.fanout"))
		must(s.management.DeclareExchange(ctx, management.Exchange{Name: "teststatus.fanout", Durable: true}))
	})...)
	steps = append(steps, repaired(address, "autopkgtest.control is missing", configuration, func() {
		must(s.management.DeleteExchange(ctx, management.ControlExchange))
	})...)
	steps = append(steps, repaired(address, "autopkgtest.answers has other settings", configuration, func() {
		must(s.management.DeleteExchange(ctx, management.AnswersExchange))
		must(s.management.DeclareExchange(ctx, management.Exchange{Name: management.AnswersExchange, Durable: false}))
	})...)
	steps = append(steps, repaired(address, "the queue rejected-requests is missing", configuration, func() {
		must(s.management.DeleteQueue(ctx, management.RejectedQueue, true))
	})...)
	steps = append(steps, repaired(address, "rejected-requests is not bound", configuration, func() {
		must(s.management.DeleteExchange(ctx, management.RejectedExchange))
		must(s.management.DeclareExchange(ctx, management.Exchange{Name: management.RejectedExchange, Durable: true}))
	})...)
	for i := 2; i < len(steps); i += 2 {
		steps[i].Check = hardened
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	for _, exchange := range management.Fanouts {
		if _, err := s.management.ExchangeIs(ctx, exchange); !errors.Is(err, management.ErrNotFound) {
			t.Errorf("after the destroy, %s: %v", exchange.Name, err)
		}
	}
	if queues, err := s.management.Queues(ctx); err != nil || queues[management.RejectedQueue].Name != "" {
		t.Errorf("after the destroy: %+v, %v", queues[management.RejectedQueue], err)
	}
}

// TestAccRejectedQueueIsKept: a queue with other settings is made anew when it is empty, and is in nobody's way to be looked at
// when it is not.
func TestAccRejectedQueueIsKept(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	s.fanouts.Lock()
	defer s.fanouts.Unlock()
	if err := s.management.DeclareExchange(ctx, management.Exchange{Name: management.RejectedExchange, Durable: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.management.DeleteQueue(ctx, management.RejectedQueue, false)
		_ = s.management.DeleteExchange(ctx, management.RejectedExchange)
	})
	administrator, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(administrator.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare(management.RejectedQueue, true, false, false, false, amqp.Table{"x-max-length": 10}); err != nil {
		t.Fatal(err)
	}
	if problem, err := rejectedProblem(ctx, s.management); err != nil || !strings.Contains(problem, "other settings") {
		t.Errorf("%q, %v", problem, err)
	}
	if err := published(channel, "", management.RejectedQueue, amqp.Publishing{Body: []byte("no request")}); err != nil {
		t.Fatal(err)
	}
	var explained *problem
	if err := ensureRejected(ctx, s.management); !errors.As(err, &explained) || !strings.Contains(explained.title, "holds 1 request") {
		t.Errorf("with a request in it: %v", err)
	}
	if _, err := channel.QueuePurge(management.RejectedQueue, false); err != nil {
		t.Fatal(err)
	}
	if err := ensureRejected(ctx, s.management); err != nil {
		t.Fatal(err)
	}
	if problem, err := rejectedProblem(ctx, s.management); err != nil || problem != "" {
		t.Errorf("made anew: %q, %v", problem, err)
	}
}
