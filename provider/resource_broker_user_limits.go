package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

const (
	// A worker has a connection to take requests and one to publish, and an apply tries a requester's login beside its clients.
	leastConnections = 2
	// That is a channel to take requests, one for the others that it asks for, one that looks at queues, and one to publish.
	leastChannels = 4

	connectionsText = "How many connections the user has at most, of all its clients together. A worker has two; a requester needs one " +
		"more than its clients have, with which an apply tries its login. After a rotation each of the two users has as many."
	channelsText = "How many channels the user has at most, on all its connections together: the broker closes a connection that " +
		"wants one more. A worker has up to eight."
)

func userLimitAttribute(description string, least int64) schema.Attribute {
	return schema.Int64Attribute{
		Optional: true, Validators: []validator.Int64{int64validator.Between(least, 1_000_000)},
		MarkdownDescription: description + " The broker ends nothing that is open when the limit is set. It takes RabbitMQ 3.8.10, and " +
			"on 3.x its feature flag `user_limits`: a plan says when a broker has not got them. Default: no limit.",
	}
}

// limits are what the configuration says.
func (m *brokerUserModel) limits() map[management.Limit]int {
	limits := map[management.Limit]int{}
	for name, value := range map[management.Limit]types.Int64{
		management.MaxConnections: m.MaxConnections, management.MaxChannels: m.MaxChannels,
	} {
		if !value.IsNull() && !value.IsUnknown() {
			limits[name] = int(value.ValueInt64())
		}
	}
	return limits
}

func limitPath(name management.Limit) path.Path {
	if name == management.MaxChannels {
		return path.Root("max_channels")
	}
	return path.Root("max_connections")
}

// checkLimits refuses in a plan what the broker that is there cannot do. One that is not there, or does not answer, is the
// apply's business.
func (m *brokerUserModel) checkLimits(ctx context.Context, p *planning[brokerUserModel]) {
	limits := m.limits()
	if len(limits) == 0 || !knownObject(m.Broker) || p.state != nil && maps.Equal(limits, p.state.limits()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, planLook)
	defer cancel()
	client, err := p.broker(ctx, brokerOf(ctx, m.Broker))
	if err == nil {
		err = client.CheckUserLimits(ctx)
	}
	if errors.Is(err, management.ErrNoUserLimits) {
		explain(p.diags, "The broker cannot limit a user", withoutUserLimits(limits, err))
	}
}

func withoutUserLimits(limits map[management.Limit]int, err error) error {
	where := management.MaxConnections
	if _, limited := limits[where]; !limited {
		where = management.MaxChannels
	}
	return at(limitPath(where), &problem{
		title: "The broker has no limits of a user", err: err,
		detail: "Use a newer broker, or leave max_connections and max_channels out.",
	})
}

// putUserLimits says which limit the broker cannot have, if that is so.
func putUserLimits(ctx context.Context, client *management.Client, user string, limits map[management.Limit]int) error {
	err := client.PutUserLimits(ctx, user, limits)
	if err == nil || len(limits) == 0 {
		return err
	}
	if missing := client.CheckUserLimits(ctx); errors.Is(missing, management.ErrNoUserLimits) {
		return withoutUserLimits(limits, missing)
	}
	return err
}

func userLimitsProblem(ctx context.Context, client *management.Client, user string, wanted map[management.Limit]int) (string, error) {
	there, err := client.UserLimits(ctx, user)
	if err != nil || maps.Equal(there, wanted) {
		return "", err
	}
	text := func(limits map[management.Limit]int, name management.Limit) string {
		if value, limited := limits[name]; limited {
			return fmt.Sprint(value)
		}
		return "any number of"
	}
	return fmt.Sprintf("the user may have %s connections and %s channels, and shall have %s and %s",
		text(there, management.MaxConnections), text(there, management.MaxChannels),
		text(wanted, management.MaxConnections), text(wanted, management.MaxChannels)), nil
}
