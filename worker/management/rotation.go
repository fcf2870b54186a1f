package management

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// AllUsers returns all users of the broker, with their hashes.
func (m *Client) AllUsers(ctx context.Context) ([]User, error) {
	return answer(m, ctx, func(c *rabbithole.Client) ([]User, error) {
		infos, err := c.ListUsers()
		if err != nil {
			return nil, err
		}
		users := make([]User, len(infos))
		for i, info := range infos {
			users[i] = User{
				Name: info.Name, PasswordHash: info.PasswordHash, Algorithm: info.HashingAlgorithm.String(),
				Tags: withoutEmpty(info.Tags),
			}
		}
		return users, nil
	})
}

// Family returns a user's generations.
func (m *Client) Family(ctx context.Context, user string) (Family, error) {
	all, err := m.AllUsers(ctx)
	return NewFamily(user, all), err
}

// Now is the broker's time, in whole seconds. Ends are counted by it alone, so that no two machines' clocks are compared.
func (m *Client) Now(ctx context.Context) (time.Time, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (time.Time, error) {
		response, err := m.get(ctx, pathIdentity)
		if err != nil {
			return time.Time{}, err
		}
		defer response.Body.Close()
		now, err := http.ParseTime(response.Header.Get("Date"))
		return now.UTC(), err
	})
}

// Connected says whether somebody has a connection as a user. The broker answers from what it tracks, not from its statistics,
// which lag behind by seconds.
func (m *Client) Connected(ctx context.Context, user string) (bool, error) {
	connections, err := answer(m, ctx, func(*rabbithole.Client) ([]json.RawMessage, error) {
		response, err := m.get(ctx, "/api/connections/username/"+url.PathEscape(user))
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		var list []json.RawMessage
		return list, json.NewDecoder(response.Body).Decode(&list)
	})
	return len(connections) > 0, err
}

// Retire gives generations their end, unless they have an earlier one, and removes those that go at once. It returns the names
// of what it removed; their connections are closed by the broker.
func (m *Client) Retire(ctx context.Context, old []Member, grace Grace) (removed []string, err error) {
	if len(old) == 0 {
		return nil, nil
	}
	now, err := m.Now(ctx)
	if err != nil {
		return nil, err
	}
	for i, member := range old {
		ended := member.Ended(now, grace)
		if ended != member.Generation {
			old[i].Generation = ended
			if grace.For == 0 {
				continue // goes below
			}
			if err := m.putGeneration(ctx, old[i]); err != nil {
				return nil, err
			}
		}
	}
	return m.expire(ctx, old, now)
}

// Expire removes all generations of all users whose end has come, and returns their names. It may be called at any time, by
// anybody.
func (m *Client) Expire(ctx context.Context) (removed []string, err error) {
	all, err := m.AllUsers(ctx)
	if err != nil {
		return nil, err
	}
	var ending []Member
	for _, u := range all {
		if g, ours := GenerationOf(u); ours && g.Ending() {
			ending = append(ending, Member{g, u})
		}
	}
	if len(ending) == 0 {
		return nil, nil
	}
	now, err := m.Now(ctx)
	if err != nil {
		return nil, err
	}
	return m.expire(ctx, ending, now)
}

// expire goes on with the others when one fails.
func (m *Client) expire(ctx context.Context, members []Member, now time.Time) (removed []string, err error) {
	var failures []error
	for _, member := range members {
		g, fate, err := member.At(now, func() (bool, error) { return m.Connected(ctx, member.Name()) })
		switch fate {
		case Goes:
			if err = m.DeleteUser(ctx, member.Name()); err == nil {
				removed = append(removed, member.Name())
			}
		case Extends:
			err = m.putGeneration(ctx, Member{g, member.Account})
		case Stays:
		}
		failures = append(failures, err)
	}
	return removed, errors.Join(failures...)
}

// putGeneration writes a member's tags. Its password and its connections stay.
func (m *Client) putGeneration(ctx context.Context, member Member) error {
	user := member.Account
	user.Tags = slices.Concat(withoutGeneration(user.Tags), member.Tags())
	return m.PutUser(ctx, user)
}

// Succeed makes the next generation after one that is there: it may do what that may, as often, and has the password that is given. Its
// predecessor is not changed.
func (m *Client) Succeed(ctx context.Context, next Generation, before Member, passwordHash string) error {
	permissions, err := m.Permissions(ctx, before.Name())
	if err != nil {
		return err
	}
	limits, err := m.UserLimits(ctx, before.Name())
	if err != nil {
		return err
	}
	user := User{
		Name: next.Name(), PasswordHash: passwordHash, Tags: slices.Concat(withoutGeneration(before.Account.Tags), next.Tags()),
	}
	if err := m.PutUser(ctx, user); err != nil {
		return err
	}
	if err := m.PutUserLimits(ctx, next.Name(), limits); err != nil {
		return err
	}
	return m.PutPermissions(ctx, next.Name(), permissions)
}
