package management

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// What keeps a user from administering a broker.
var (
	ErrNotAdministrator = errors.New("not an administrator of the broker")
	ErrOwnUser          = errors.New("the user that the calls are made as")
)

// Prove makes sure that we are an administrator, by a call that only one may make. Its errors match ErrUnavailable, ErrDenied
// (the password; ErrNoManagement: a user whose password may be right, and who has no tag) and ErrNotAdministrator.
func (m *Client) Prove(ctx context.Context) error {
	who, err := m.Identity(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(who.Tags, "administrator") {
		return fmt.Errorf("%w: the user %q has the tags %q", ErrNotAdministrator, who.Name, who.Tags)
	}
	_, err = m.Users(ctx)
	return err
}

// RemoveUser removes a user, who may be an administrator, once we have proven to be another one: so one remains who can make
// others. The user that the calls are made as is ErrOwnUser. A user that is not there is success.
func (m *Client) RemoveUser(ctx context.Context, name string) error {
	if name == m.username {
		return fmt.Errorf("remove the user %q: %w", name, ErrOwnUser)
	}
	if err := m.Prove(ctx); err != nil {
		return fmt.Errorf("remove the user %q: nobody would be left to administer the broker: %w", name, err)
	}
	return m.DeleteUser(ctx, name)
}

// EnsureOwnRights lets us use all of VHost: an administrator may give that to anybody, but needs it to declare something.
func (m *Client) EnsureOwnRights(ctx context.Context) error {
	if has, err := m.HasOwnRights(ctx); err != nil || has {
		return err
	}
	return m.PutPermissions(ctx, m.username, Everything)
}

// HasOwnRights says whether we may use all of VHost.
func (m *Client) HasOwnRights(ctx context.Context) (bool, error) {
	may, err := m.Permissions(ctx, m.username)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return may == Everything, err
}
