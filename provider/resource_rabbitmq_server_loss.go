package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// keptBroker knows a broker that goes on with data that are there: what depends on it does not change. Where they cannot
// be looked at, the apply finds out.
func (p *planning[M]) keptBroker(directory string, s rabbitmq.Settings) (types.Object, bool) {
	d, err := p.open(directory)
	if d == nil || err != nil {
		return types.ObjectNull(brokerTypes), false
	}
	info, kept, err := rabbitmq.Kept(d, s)
	return p.brokerObject(info), kept && err == nil
}

func (rabbitMQServerKind) planRemoval(ctx context.Context, c *call[rabbitMQServerModel]) {
	if err := refuseMessageLoss(ctx, c); err != nil {
		explain(c.diags, "Cannot remove the broker in "+c.model.path(), err)
	}
}

// refuseMessageLoss fails when a broker that is to go holds requests, or may hold some.
func refuseMessageLoss(ctx context.Context, c *call[rabbitMQServerModel]) error {
	if c.model.AllowMessageLoss.ValueBool() {
		return nil
	}
	d, err := c.open(c.model.path())
	if d == nil || err != nil || !rabbitmq.HoldsData(d) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	const consequence = "Whoever sent them would wait for their results for ever. Let the workers finish them first."
	queues, err := c.queuesOf(ctx, brokerOf(ctx, c.model.Broker))
	switch {
	case err != nil && rabbitmq.Begun(d):
		return nil
	case err != nil:
		return held("Whether requests wait in the broker is not known", consequence, "allow_message_loss", err)
	}
	var full []string
	for _, queue := range queues {
		if queue.Messages > 0 {
			full = append(full, fmt.Sprintf("%s (%d)", queue.Name, queue.Messages))
		}
	}
	if len(full) == 0 {
		return nil
	}
	slices.Sort(full)
	return held("Messages stand in "+strings.Join(full, ", "), consequence, "allow_message_loss", nil)
}

func (s *settings) queuesOf(ctx context.Context, b brokerModel) (map[string]management.Queue, error) {
	client, err := s.broker(ctx, b)
	if err != nil {
		return nil, err
	}
	return client.Queues(ctx)
}
