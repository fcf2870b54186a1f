package management

import (
	"context"
	"errors"
	"fmt"
	"maps"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// Policy bounds or mirrors queues of VHost from outside: their clients declare them without arguments, and would be refused if
// they had some.
type Policy struct {
	Name    string
	Pattern string // of the queues' names
	// Operator is an operator's policy. A queue has it in addition to an ordinary one, for example one that mirrors it; of
	// ordinary policies a queue has only that of the highest priority. It knows nothing but limits.
	Operator bool
	Priority int
	// MaxBytes is how much the messages of a queue may have together.
	MaxBytes uint64
	// RefuseAtLimit refuses further messages; otherwise the oldest go. An operator's policy cannot say this.
	RefuseAtLimit bool
	// Mirrors are the copies of a queue on other nodes. An operator's policy cannot have them.
	Mirrors Mirrors
}

// Mirrors is on how many nodes of a cluster a queue is kept. The zero value is one.
type Mirrors struct {
	All   bool
	Nodes int // with its leader; counts unless All
}

func (m Mirrors) wanted() bool { return m.All || m.Nodes > 0 }

// Empty says whether the policy says nothing, and so should not be there.
func (p Policy) Empty() bool { return p.MaxBytes == 0 && !p.Mirrors.wanted() }

func (p Policy) definition() map[string]any {
	definition := map[string]any{}
	if p.MaxBytes != 0 {
		definition["max-length-bytes"] = p.MaxBytes
		if p.RefuseAtLimit {
			definition["overflow"] = "reject-publish"
		}
	}
	if !p.Mirrors.wanted() {
		return definition
	}
	definition["ha-mode"] = "all"
	if !p.Mirrors.All {
		definition["ha-mode"], definition["ha-params"] = "exactly", uint64(p.Mirrors.Nodes)
	}
	// A copy that was begun is made whole by itself, and one that is not whole never takes the leader's place: what the queue has
	// confirmed would be gone. Without a whole one the queue waits for its leader.
	definition["ha-sync-mode"] = "automatic"
	definition["ha-promote-on-failure"], definition["ha-promote-on-shutdown"] = "when-synced", "when-synced"
	return definition
}

// PolicyIs says whether the policy is there and just so. A missing one is ErrNotFound.
func (m *Client) PolicyIs(ctx context.Context, p Policy) (bool, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (bool, error) {
		var there rabbithole.Policy
		if p.Operator {
			info, err := c.GetOperatorPolicy(VHost, p.Name)
			if err != nil {
				return false, err
			}
			there = rabbithole.Policy(*info)
		} else {
			info, err := c.GetPolicy(VHost, p.Name)
			if err != nil {
				return false, err
			}
			there = *info
		}
		same := there.Pattern == p.Pattern && there.ApplyTo == "queues" && there.Priority == p.Priority &&
			maps.EqualFunc(there.Definition, p.definition(), equalSetting)
		return same, nil
	})
}

// equalSetting compares what came as JSON, whose numbers are all of one kind, with what was sent.
func equalSetting(got, want any) bool {
	if number, ok := got.(float64); ok {
		size, ok := want.(uint64)
		return ok && number == float64(size)
	}
	return fmt.Sprint(got) == fmt.Sprint(want)
}

// PutPolicy makes or replaces the policy.
func (m *Client) PutPolicy(ctx context.Context, p Policy) error {
	policy := rabbithole.Policy{Pattern: p.Pattern, ApplyTo: "queues", Priority: p.Priority, Definition: p.definition()}
	return m.call(ctx, func(c *rabbithole.Client) error {
		if p.Operator {
			return closing(c.PutOperatorPolicy(VHost, p.Name, rabbithole.OperatorPolicy(policy)))
		}
		return closing(c.PutPolicy(VHost, p.Name, policy))
	})
}

// HasPolicy says whether there is a policy of this name, whatever it says.
func (m *Client) HasPolicy(ctx context.Context, p Policy) (bool, error) {
	_, err := m.PolicyIs(ctx, p)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// DeletePolicy removes the policy of this name. One that is not there is success.
func (m *Client) DeletePolicy(ctx context.Context, p Policy) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error {
		if p.Operator {
			return closing(c.DeleteOperatorPolicy(VHost, p.Name))
		}
		return closing(c.DeletePolicy(VHost, p.Name))
	}))
}
