package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

const (
	defaultListenerLimit = "64M"
	defaultRejectedLimit = "256M"
	leastQueueLimit      = 1 << 20 // one rejected request with a long body
)

// brokerLimitAttributes bound what a broker keeps that nobody reads.
func brokerLimitAttributes() map[string]schema.Attribute {
	queueLimit := func(otherwise, description string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(otherwise),
			MarkdownDescription: description + " `0` for no limit. Default: `" + otherwise + "`.",
			Validators:          []validator.String{check{"a queue's limit", checkQueueLimit}},
		}
	}
	vhostLimit := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(10, 1_000_000)},
			MarkdownDescription: description + " Without it the broker's own limit is left as it is; one that was set here and is " +
				"taken out of the configuration is taken away.",
		}
	}
	return map[string]schema.Attribute{
		"listener_limit": queueLimit(defaultListenerLimit, "What may wait in the queue of a collector or worker that listens, so that "+
			"one which does not read cannot fill the broker: of `complete-listener`, `running-listener`, and those that the broker "+
			"names (`amq.gen-...`). The oldest messages go; they are hints, and the store has the results. An operator policy, beside "+
			"which other policies hold."),
		"rejected_limit": queueLimit(defaultRejectedLimit, "What may wait in the queue `rejected-requests`. At the limit the broker "+
			"refuses more, and workers keep them in their folders until there is room: nothing goes. A policy; another one of a higher "+
			"priority than 10 for this queue takes its place."),
		"max_connections": vhostLimit("How many connections the virtual host has at most."),
		"max_queues":      vhostLimit("How many queues the virtual host has at most."),
	}
}

func checkQueueLimit(text string) error {
	size, err := config.ParseSize(text)
	if err != nil {
		return err
	}
	if bytes, limited := size.Limit(); limited && bytes < leastQueueLimit {
		return fmt.Errorf("%q is too little: at least %s", text, config.Size(leastQueueLimit))
	}
	return nil
}

// queuePolicies are those that shall be there; their limits are zero for those that shall not.
func (m *brokerResourceModel) queuePolicies() []management.Policy {
	limit := func(text types.String) uint64 {
		size, _ := config.ParseSize(text.ValueString())
		bytes, _ := size.Limit()
		return bytes
	}
	return []management.Policy{
		{
			Name: "autopkgtest-listeners", Operator: true, Pattern: `^(complete-listener|running-listener|amq\.gen.*)$`,
			MaxBytes: limit(m.ListenerLimit),
		},
		{
			Name: "autopkgtest-rejected", Pattern: "^" + management.RejectedQueue + "$", Priority: 10,
			MaxBytes: limit(m.RejectedLimit), RefuseAtLimit: true,
		},
	}
}

// vhostLimits are what the configuration says, or said before.
func (m *brokerResourceModel) vhostLimits() map[management.Limit]types.Int64 {
	return map[management.Limit]types.Int64{management.MaxConnections: m.MaxConnections, management.MaxQueues: m.MaxQueues}
}

func ensureBrokerLimits(ctx context.Context, c *call[brokerResourceModel], client *management.Client) error {
	for _, policy := range c.model.queuePolicies() {
		if err := ensurePolicy(ctx, client, policy); err != nil {
			return err
		}
	}
	there, err := client.Limits(ctx)
	if err != nil {
		return err
	}
	for name, want := range c.model.vhostLimits() {
		got, limited := there[name]
		switch {
		case want.IsNull():
			if c.prior != nil && !c.prior.vhostLimits()[name].IsNull() {
				err = client.ClearLimit(ctx, name)
			}
		case !limited || got != int(want.ValueInt64()):
			err = client.SetLimit(ctx, name, int(want.ValueInt64()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func ensurePolicy(ctx context.Context, client *management.Client, policy management.Policy) error {
	if policy.MaxBytes == 0 {
		return client.DeletePolicy(ctx, policy)
	}
	right, err := client.PolicyIs(ctx, policy)
	if err != nil && !errors.Is(err, management.ErrNotFound) || right {
		return err
	}
	return client.PutPolicy(ctx, policy)
}

// brokerLimitsProblem is what is wrong with policies and limits; empty if nothing is.
func brokerLimitsProblem(ctx context.Context, m *brokerResourceModel, client *management.Client) (string, error) {
	if m.ListenerLimit.IsNull() || m.RejectedLimit.IsNull() {
		return "", nil // written by a version that had no policies; the plan adds them
	}
	for _, policy := range m.queuePolicies() {
		right, err := client.PolicyIs(ctx, policy)
		missing := errors.Is(err, management.ErrNotFound)
		switch {
		case err != nil && !missing:
			return "", err
		case policy.MaxBytes == 0 && !missing:
			return "there is a policy " + policy.Name + ", and there should be none", nil
		case policy.MaxBytes != 0 && missing:
			return "the policy " + policy.Name + " is missing", nil
		case policy.MaxBytes != 0 && !right:
			return "the policy " + policy.Name + " says something else than it should", nil
		}
	}
	there, err := client.Limits(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range []management.Limit{management.MaxConnections, management.MaxQueues} {
		want := m.vhostLimits()[name]
		switch got, limited := there[name]; {
		case want.IsNull() || limited && got == int(want.ValueInt64()):
		case !limited:
			return fmt.Sprintf("the virtual host %s has no %s, and should have %d", management.VHost, name, want.ValueInt64()), nil
		default:
			return fmt.Sprintf("the virtual host %s has a %s of %d, not of %d", management.VHost, name, got, want.ValueInt64()), nil
		}
	}
	return "", nil
}

func removeBrokerLimits(ctx context.Context, m *brokerResourceModel, client *management.Client) error {
	for _, policy := range m.queuePolicies() {
		if err := client.DeletePolicy(ctx, policy); err != nil {
			return err
		}
	}
	for name, set := range m.vhostLimits() {
		if set.IsNull() {
			continue
		}
		if err := client.ClearLimit(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
