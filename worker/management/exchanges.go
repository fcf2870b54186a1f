package management

import (
	"context"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// Exchange is a fanout exchange of VHost.
type Exchange struct {
	Name    string
	Durable bool
}

// The exchanges that are made here alone: no user has the right to.
const (
	ControlExchange  = "autopkgtest.control"  // operators' commands to all workers
	AnswersExchange  = "autopkgtest.answers"  // what workers say to them
	RejectedExchange = "autopkgtest.rejected" // requests that can never be run
)

// RejectedQueue keeps what is sent to RejectedExchange, for people.
const RejectedQueue = "rejected-requests"

// Fanouts are the exchanges of a test cloud, each with exactly these settings. The first two are declared by its parts as
// well: a declaration with another durability is refused by the broker, and its sender is cut off.
var Fanouts = []Exchange{
	{Name: "teststatus.fanout", Durable: false},
	{Name: "testcomplete.fanout", Durable: true},
	{Name: ControlExchange, Durable: true},
	{Name: AnswersExchange, Durable: true},
	{Name: RejectedExchange, Durable: true},
}

// ExchangeIs says whether the exchange is there and just so. A missing one is ErrNotFound.
func (m *Client) ExchangeIs(ctx context.Context, x Exchange) (bool, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (bool, error) {
		info, err := c.GetExchange(VHost, x.Name)
		if err != nil {
			return false, err
		}
		same := info.Type == "fanout" && info.Durable == x.Durable && !info.AutoDelete && !info.Internal &&
			len(info.Arguments) == 0
		return same, nil
	})
}

// DeclareExchange makes the exchange. One that is there with other settings is ErrRefused.
func (m *Client) DeclareExchange(ctx context.Context, x Exchange) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeclareExchange(VHost, x.Name, rabbithole.ExchangeSettings{Type: "fanout", Durable: x.Durable}))
	})
}

// DeleteExchange removes the exchange and its bindings. One that is not there is success.
func (m *Client) DeleteExchange(ctx context.Context, name string) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error { return closing(c.DeleteExchange(VHost, name)) }))
}
