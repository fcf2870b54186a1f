package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
)

// keptBroker knows a broker that goes on with data that are there: what depends on it does not change. Where they cannot
// be looked at, the apply finds out.
func (p *planning[M]) keptBroker(directory string, s rabbitmq.Settings) (types.Object, bool) {
	d, err := p.open(directory)
	if d == nil || err != nil {
		return types.ObjectNull(brokerTypes), false
	}
	info, kept, err := rabbitmq.Kept(d, s)
	return p.brokerObject(info, s), kept && err == nil
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
	cluster := c.model.cluster(ctx)
	full, err := c.heldIn(ctx, brokerOf(ctx, c.model.Broker), cluster)
	switch {
	case err != nil && cluster == nil && rabbitmq.Begun(d):
		return nil
	case err != nil:
		return held("Whether requests wait in the broker is not known", consequence, "allow_message_loss", err)
	}
	if len(full) == 0 {
		return nil
	}
	return held("Messages stand in "+strings.Join(full, ", "), consequence, "allow_message_loss", nil)
}

// heldIn is what a broker holds that would be lost with a server of it.
func (s *settings) heldIn(ctx context.Context, b brokerModel, cluster *rabbitmq.Cluster) ([]string, error) {
	client, err := s.broker(ctx, b)
	if err != nil {
		return nil, err
	}
	return heldBy(ctx, client, cluster)
}
