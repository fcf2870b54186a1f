package management

import (
	"context"
	"net/url"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// Queue is a queue of VHost as the broker has it.
type Queue struct {
	Name     string
	Plain    bool // durable, shared, kept, without arguments: what the clients declare
	Messages int  // waiting and being worked on
}

// Queues returns the queues of VHost by name. The counts are exact at the time of the call: the statistics, which lag
// behind by seconds, are not asked for.
func (m *Client) Queues(ctx context.Context) (map[string]Queue, error) {
	parameters := url.Values{"disable_stats": {"true"}, "enable_queue_totals": {"true"}}
	return answer(m, ctx, func(c *rabbithole.Client) (map[string]Queue, error) {
		infos, err := c.ListQueuesWithParametersIn(VHost, parameters)
		if err != nil {
			return nil, err
		}
		queues := make(map[string]Queue, len(infos))
		for _, info := range infos {
			queues[info.Name] = Queue{
				Name:     info.Name,
				Plain:    info.Durable && !bool(info.AutoDelete) && !info.Exclusive && plainArguments(info.Arguments),
				Messages: info.Messages,
			}
		}
		return queues, nil
	})
}

// plainArguments says whether a declaration without arguments is accepted for the queue.
func plainArguments(arguments map[string]any) bool {
	for name, value := range arguments {
		if name != "x-queue-type" || value != "classic" {
			return false
		}
	}
	return true
}

// DeclareQueue makes a durable queue without arguments, as every client declares it. One that is there with other
// settings is ErrRefused.
func (m *Client) DeclareQueue(ctx context.Context, name string) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeclareQueue(VHost, name, rabbithole.QueueSettings{Durable: true}))
	})
}

// DeleteQueue removes a queue. With onlyEmpty the broker itself refuses (ErrRefused) when a message waits in it, so that
// one which came at the last moment is not lost. A queue that is not there is success.
func (m *Client) DeleteQueue(ctx context.Context, name string, onlyEmpty bool) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeleteQueue(VHost, name, rabbithole.QueueDeleteOptions{IfEmpty: onlyEmpty}))
	}))
}
