package management

import (
	"context"
	"errors"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// Limit is the name of a limit of VHost.
type Limit string

// The limits that RabbitMQ has.
const (
	MaxConnections Limit = "max-connections"
	MaxQueues      Limit = "max-queues"
)

// Limits are those that VHost has; one that is missing is none.
func (m *Client) Limits(ctx context.Context) (map[Limit]int, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (map[Limit]int, error) {
		infos, err := c.GetVhostLimits(VHost)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		limits := map[Limit]int{}
		for _, info := range infos {
			addLimits(limits, info.Value)
		}
		return limits, nil
	})
}

// addLimits adds those that are limits: RabbitMQ takes a negative one for none.
func addLimits(limits map[Limit]int, values map[string]int) {
	for name, value := range values {
		if value >= 0 {
			limits[Limit(name)] = value
		}
	}
}

// SetLimit sets one limit of VHost.
func (m *Client) SetLimit(ctx context.Context, name Limit, value int) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.PutVhostLimits(VHost, rabbithole.VhostLimitsValues{string(name): value}))
	})
}

// ClearLimit takes a limit of VHost away. That there is none is success.
func (m *Client) ClearLimit(ctx context.Context, name Limit) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeleteVhostLimits(VHost, rabbithole.VhostLimits{string(name)}))
	}))
}
