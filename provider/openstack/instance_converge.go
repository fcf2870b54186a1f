package openstack

import (
	"context"
	"errors"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/secgroups"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// converge changes what can be changed of a server: its name, its groups, whether it runs.
func (i *Inventory) converge(ctx context.Context, want Instance, server *cloud.Server) error {
	if server.Name != want.Name {
		if err := i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
			return servers.Update(ctx, client, server.ID, servers.UpdateOpts{Name: want.Name}).Err
		}); err != nil {
			return err
		}
	}
	if err := i.convergeGroups(ctx, want.Groups, server); err != nil {
		return in("groups", err)
	}
	return i.wake(ctx, server)
}

// convergeGroups adds before it removes: at no moment is the machine in fewer groups than before and after.
func (i *Inventory) convergeGroups(ctx context.Context, want []string, server *cloud.Server) error {
	has := groupsOf(server)
	for _, group := range want {
		if !slices.Contains(has, group) {
			if err := i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
				return secgroups.AddServer(ctx, client, server.ID, group).Err
			}); err != nil {
				return err
			}
		}
	}
	for _, group := range has {
		if !slices.Contains(want, group) {
			if err := cloud.UnlessGone(i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
				return secgroups.RemoveServer(ctx, client, server.ID, group).Err
			})); err != nil {
				return err
			}
		}
	}
	return nil
}

// wake starts a server that does not run. Which call does so depends on why it does not; of one in ERROR, a cold start often makes a
// server again, and it keeps what is on its disk.
func (i *Inventory) wake(ctx context.Context, server *cloud.Server) error {
	var action func(*gophercloud.ServiceClient) error
	switch server.Status {
	case cloud.StatusShutoff:
		action = func(client *gophercloud.ServiceClient) error { return servers.Start(ctx, client, server.ID).Err }
	case "PAUSED":
		action = func(client *gophercloud.ServiceClient) error { return servers.Unpause(ctx, client, server.ID).Err }
	case "SUSPENDED":
		action = func(client *gophercloud.ServiceClient) error { return servers.Resume(ctx, client, server.ID).Err }
	case "SHELVED", "SHELVED_OFFLOADED":
		action = func(client *gophercloud.ServiceClient) error {
			return servers.Unshelve(ctx, client, server.ID, servers.UnshelveOpts{}).Err
		}
	case cloud.StatusError:
		action = func(client *gophercloud.ServiceClient) error {
			return servers.Reboot(ctx, client, server.ID, servers.RebootOpts{Type: servers.HardReboot}).Err
		}
	default: // it runs, or something is being done with it
		return nil
	}
	err := i.Do(ctx, cloud.Compute, action)
	if errors.Is(err, cloud.ErrConflict) { // somebody else is at it: what comes of that is seen by who waits
		return nil
	}
	return err
}

// awaitUp waits until a server that was there before is ACTIVE. One that was in ERROR is so until what was asked of it is done.
func (i *Inventory) awaitUp(ctx context.Context, server *cloud.Server) (*cloud.Server, error) {
	if server.Status == cloud.StatusError {
		if err := i.awaitTask(ctx, server.ID); err != nil {
			return nil, err
		}
	}
	up, err := i.AwaitActive(ctx, server.ID)
	if err == nil || errors.Is(err, cloud.ErrNotFound) {
		return up, err
	}
	var broken *cloud.Error
	if errors.As(err, &broken) && (errors.Is(err, cloud.ErrBroken) || errors.Is(err, cloud.ErrNoHost)) {
		explained := i.NewError(cloud.ErrBroken, cloud.Compute, "a cold start did not help: "+broken.Cause,
			"ask the cloud's operators to repair it; or replace it, which loses what is on its disk")
		explained.RequestID = broken.RequestID
		err = explained
	}
	return nil, i.failure(ctx, server.ID, "", err)
}

// awaitTask waits until nothing is being done with a server.
func (i *Inventory) awaitTask(ctx context.Context, id string) error {
	return cloud.Poll(ctx, func() (bool, error) {
		server, err := i.Server(ctx, id)
		if errors.Is(err, cloud.ErrNotFound) {
			return true, nil
		}
		return err == nil && server.TaskState == "", err
	})
}
