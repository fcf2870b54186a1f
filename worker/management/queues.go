package management

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
	"golang.org/x/sync/errgroup"
)

// Queue is a queue of VHost as the broker has it.
type Queue struct {
	Name     string
	Plain    bool // durable, shared, kept, without arguments: what the clients declare
	Messages int  // waiting and being worked on
	Running  int  // of these, being worked on: delivered and not acknowledged

	// Where it is, in a broker of several nodes.
	Leader  string   // the node that has it
	Copies  []string // the nodes that have a copy (a mirror)
	Whole   []string // of these, those whose copy is whole
	Policy  string   // the ordinary policy that it has
	Stopped bool     // its leader is down, and no other node may take its place
}

// SafeWithout says whether nothing of the queue is lost with a node, as long as the nodes that run do. The broker tells late of copies
// that are not whole any more.
func (q Queue) SafeWithout(node string, running []string) bool {
	return slices.ContainsFunc(append([]string{q.Leader}, q.Whole...), func(name string) bool {
		return name != node && slices.Contains(running, name)
	})
}

// queueInfo is a queue in a listing. Counts that the broker does not tell are nil, not zero.
type queueInfo struct {
	Name       string         `json:"name"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Exclusive  bool           `json:"exclusive"`
	Arguments  map[string]any `json:"arguments"`
	Messages   *int           `json:"messages"`
	Unacked    *int           `json:"messages_unacknowledged"`
	Node       string         `json:"node"`
	Copies     []string       `json:"slave_nodes"`
	Whole      []string       `json:"synchronised_slave_nodes"`
	Policy     string         `json:"policy"`
	State      string         `json:"state"`
}

// leanListing asks for no statistics, which cost the broker a lookup for each queue and lag behind by seconds, but for the
// counts of messages, which do not lag.
var leanListing = url.Values{"disable_stats": {"true"}, "enable_queue_totals": {"true"}}

// Queues returns the queues of VHost by name, in one call. The counts are exact at the time of the call. A broker that
// tells none without statistics (before 3.9) is asked a second time, with them: what is not known is never taken for none.
func (m *Client) Queues(ctx context.Context) (map[string]Queue, error) {
	queues, counted, err := m.listQueues(ctx, leanListing)
	if err == nil && !counted {
		queues, _, err = m.listQueues(ctx, nil)
	}
	return queues, err
}

// listQueues also says whether all queues came with their counts. With statistics a queue lacks them for its first
// seconds, in which it is empty.
func (m *Client) listQueues(ctx context.Context, query url.Values) (queues map[string]Queue, counted bool, err error) {
	infos, err := ask[[]queueInfo](m, ctx, request{method: http.MethodGet, path: inVHost("queues"), query: query})
	if err != nil {
		return nil, false, withoutVHost(err)
	}
	queues, counted = make(map[string]Queue, len(infos)), true
	for _, info := range infos {
		q := Queue{
			Name: info.Name, Leader: info.Node, Copies: info.Copies, Whole: info.Whole, Policy: info.Policy,
			Stopped: info.State == "down" || info.State == "stopped" || info.State == "crashed",
			Plain:   info.Durable && !info.AutoDelete && !info.Exclusive && plainArguments(info.Arguments),
		}
		if info.Messages == nil || info.Unacked == nil {
			counted = false
		} else {
			q.Messages, q.Running = *info.Messages, *info.Unacked
		}
		queues[q.Name] = q
	}
	return queues, counted, nil
}

// withoutVHost says of a listing that was not found what that means.
func withoutVHost(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNoVHost, err)
	}
	return err
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

// DeclareQueues is DeclareQueue for many, several at a time.
func (m *Client) DeclareQueues(ctx context.Context, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCalls)
	for _, name := range names {
		group.Go(func() error { return m.DeclareQueue(ctx, name) })
	}
	return group.Wait()
}

// DeleteQueue removes a queue. With onlyEmpty the broker itself refuses (ErrRefused) when a message waits in it, so that
// one which came at the last moment is not lost. A queue that is not there is success.
func (m *Client) DeleteQueue(ctx context.Context, name string, onlyEmpty bool) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeleteQueue(VHost, name, rabbithole.QueueDeleteOptions{IfEmpty: onlyEmpty}))
	}))
}
