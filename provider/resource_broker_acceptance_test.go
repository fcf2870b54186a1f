//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
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
		for _, exchange := range rabbitmq.Fanouts {
			if right, err := s.management.ExchangeIs(ctx, exchange); err != nil || !right {
				return fmt.Errorf("exchange %s: right=%t, %w", exchange.Name, right, err)
			}
		}
		if _, err := s.management.User(ctx, guest); !errors.Is(err, rabbitmq.ErrNotFound) {
			return fmt.Errorf("guest is there: %w", err)
		}
		return nil
	}
	makeGuest := func() {
		must(s.management.PutUser(ctx, rabbitmq.User{
			Name: guest, PasswordHash: rabbitmq.HashPassword(guest), Tags: []string{"administrator"},
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
		must(s.management.DeclareExchange(ctx, rabbitmq.Exchange{Name: "teststatus.fanout", Durable: true}))
	})...)
	for i := 2; i < len(steps); i += 2 {
		steps[i].Check = hardened
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	for _, exchange := range rabbitmq.Fanouts {
		if _, err := s.management.ExchangeIs(ctx, exchange); !errors.Is(err, rabbitmq.ErrNotFound) {
			t.Errorf("after the destroy, %s: %v", exchange.Name, err)
		}
	}
}
