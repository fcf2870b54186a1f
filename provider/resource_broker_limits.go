package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
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
		"mirrors": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "On how many nodes of a cluster request queues, `rejected-requests` and `complete-listener` are kept: " +
				"`all`, or a number from 2, which counts the node that leads. A copy that is not whole never takes the leader's place, " +
				"so nothing that was confirmed is lost with a node; without a whole copy a queue waits for its leader. An ordinary " +
				"policy of priority 10; another one of a higher priority takes its place, and a plan says so. Not with RabbitMQ 4, which " +
				"mirrors no queues. Default: one node, without a copy.",
			Validators: []validator.String{check{"a number of nodes", func(s string) error {
				_, err := parseMirrors(s)
				return err
			}}},
		},
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

// parseMirrors reads all, or a number of nodes.
func parseMirrors(text string) (management.Mirrors, error) {
	if text == "all" {
		return management.Mirrors{All: true}, nil
	}
	nodes, err := strconv.Atoi(text)
	if err != nil || nodes < 2 || nodes > 100 {
		return management.Mirrors{}, fmt.Errorf("%q: write all, or the number of nodes that keep a queue, from 2", text)
	}
	return management.Mirrors{Nodes: nodes}, nil
}

// mirrors are none unless the configuration has some.
func (m *brokerResourceModel) mirrors() (mirrors management.Mirrors) {
	if !m.Mirrors.IsNull() && !m.Mirrors.IsUnknown() {
		mirrors, _ = parseMirrors(m.Mirrors.ValueString()) // its validator has accepted it
	}
	return mirrors
}

// queuePolicies are those that shall be there; those that say nothing shall not. A queue has one ordinary policy, so whatever is
// to hold for it is in that one; an operator's policy has but limits, and comes in addition.
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
			MaxBytes: limit(m.RejectedLimit), RefuseAtLimit: true, Mirrors: m.mirrors(),
		},
		{
			Name: "autopkgtest-mirrors", Pattern: `^(debci-.*|complete-listener)$`, Priority: 10, Mirrors: m.mirrors(),
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
	if policy.Empty() {
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
		case policy.Empty() && !missing:
			return "there is a policy " + policy.Name + ", and there should be none", nil
		case !policy.Empty() && missing:
			return "the policy " + policy.Name + " is missing", nil
		case !policy.Empty() && !right:
			return "the policy " + policy.Name + " says something else than it should", nil
		}
	}
	if problem, err := mirrorsProblem(ctx, m, client); err != nil || problem != "" {
		return problem, err
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

// mirrorsProblem says which queue another policy keeps from being mirrored; empty if none.
func mirrorsProblem(ctx context.Context, m *brokerResourceModel, client *management.Client) (string, error) {
	if m.Mirrors.IsNull() {
		return "", nil
	}
	queues, err := client.Queues(ctx)
	if err != nil {
		return "", err
	}
	for _, policy := range m.queuePolicies() {
		pattern, err := regexp.Compile(policy.Pattern)
		if err != nil || policy.Operator {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(queues)) {
			if got := queues[name].Policy; pattern.MatchString(name) && got != "" && got != policy.Name {
				return fmt.Sprintf("the queue %s is not mirrored: the policy %s takes the place of %s, which has the priority %d",
					name, got, policy.Name, policy.Priority), nil
			}
		}
	}
	return "", nil
}

// checkMirrors refuses mirrors where the broker has none.
func checkMirrors(ctx context.Context, m *brokerResourceModel, client *management.Client) error {
	if m.Mirrors.IsNull() || m.Mirrors.IsUnknown() {
		return nil
	}
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	if v, err := rabbitmq.ParseVersion(version); err != nil || v.Major < 4 {
		return nil //nolint:nilerr // a version that is not known is refused elsewhere
	}
	return at(path.Root("mirrors"), &problem{
		title: fmt.Sprintf("RabbitMQ %s mirrors no queues", version),
		detail: "It has quorum queues instead, which their clients would have to declare as such, and those of a test cloud do not. Use " +
			"RabbitMQ 3.x, or take mirrors out.",
	})
}

// warnOfFewNodes says at an apply that there are not so many nodes.
func warnOfFewNodes(ctx context.Context, c *call[brokerResourceModel], client *management.Client) error {
	mirrors := c.model.mirrors()
	if mirrors == (management.Mirrors{}) {
		return nil
	}
	running, err := client.RunningNodes(ctx)
	if err == nil && len(running) < max(mirrors.Nodes, 2) {
		c.diags.AddAttributeWarning(path.Root("mirrors"), "The broker has too few nodes",
			fmt.Sprintf("Of its nodes %d run: queues have no more copies than that until there are more.", len(running)))
	}
	return err
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
