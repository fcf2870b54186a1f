package management

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// MaxChannels is a limit that only a user has; MaxConnections is one of users, too.
const MaxChannels Limit = "max-channels"

// userLimits are those that a user can have.
var userLimits = []Limit{MaxConnections, MaxChannels}

// ErrNoUserLimits: the broker cannot limit what a single user opens.
var ErrNoUserLimits = errors.New("the broker has no limits of a user")

// CheckUserLimits says whether the broker can limit users: one before 3.8.10 cannot, and a later one of 3.x only when the feature
// flag for it is on, which is an operator's business.
func (m *Client) CheckUserLimits(ctx context.Context) error {
	flags, err := answer(m, ctx, func(*rabbithole.Client) (states map[string]string, err error) {
		response, err := m.get(ctx, "/api/feature-flags")
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		var list []struct{ Name, State string }
		err = json.NewDecoder(response.Body).Decode(&list)
		states = map[string]string{}
		for _, flag := range list {
			states[flag.Name] = flag.State
		}
		return states, err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	const flag = "user_limits"
	switch state, known := flags[flag]; {
	case state == "disabled":
		return fmt.Errorf("%w until its feature flag is on: run rabbitmqctl enable_feature_flag %s on a node of it", ErrNoUserLimits, flag)
	case known:
		return nil
	}
	// A flag that nothing can do without any more is not listed.
	_, err = answer(m, ctx, func(c *rabbithole.Client) ([]rabbithole.UserLimitsInfo, error) { return c.GetAllUserLimits() })
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: RabbitMQ has them from 3.8.10 on", ErrNoUserLimits)
	}
	return err
}

// UserLimits are those that a user has; one that is missing is none.
func (m *Client) UserLimits(ctx context.Context, user string) (map[Limit]int, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (map[Limit]int, error) {
		infos, err := c.GetUserLimits(user)
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

// PutUserLimits gives a user these limits and no others. What is there already is not written again.
func (m *Client) PutUserLimits(ctx context.Context, user string, wanted map[Limit]int) error {
	there, err := m.UserLimits(ctx, user)
	if err != nil || maps.Equal(there, wanted) {
		return err
	}
	for _, name := range userLimits {
		value, limited := wanted[name]
		if was, had := there[name]; had == limited && was == value {
			continue
		}
		err := m.call(ctx, func(c *rabbithole.Client) error {
			if limited {
				return closing(c.PutUserLimits(user, rabbithole.UserLimitsValues{string(name): value}))
			}
			return closing(c.DeleteUserLimits(user, rabbithole.UserLimits{string(name)}))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
