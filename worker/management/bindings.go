package management

import (
	"context"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// Bound says whether the exchange sends to the queue. Both must be there.
func (m *Client) Bound(ctx context.Context, exchange, queue string) (bool, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (bool, error) {
		bindings, err := c.ListQueueBindingsBetween(VHost, exchange, queue)
		return len(bindings) > 0, err
	})
}

// Bind makes the exchange send to the queue. That it does already is success.
func (m *Client) Bind(ctx context.Context, exchange, queue string) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeclareBinding(VHost, rabbithole.BindingInfo{
			Source: exchange, Destination: queue, DestinationType: "queue", Arguments: map[string]any{},
		}))
	})
}
