package openstack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

const (
	// routerPatience is for how long Associate waits for a router that is still being made, if the caller has more time.
	routerPatience = 5 * time.Minute
	routerPause    = 2 * time.Second
)

// FloatingIP is an address of an external network that belongs to a project. Its status is DOWN as long as no router carries its
// packets: where hypervisors are simulated, for ever.
type FloatingIP = floatingips.FloatingIP

// FloatingIPs are all of the project's.
func (r *Region) FloatingIPs(ctx context.Context) ([]FloatingIP, error) {
	return r.floatingIPs(ctx, floatingips.ListOpts{})
}

// FloatingIPsMarked are those of the project that were allocated with a mark.
func (r *Region) FloatingIPsMarked(ctx context.Context, mark string) ([]FloatingIP, error) {
	return r.floatingIPs(ctx, floatingips.ListOpts{Description: mark})
}

func (r *Region) floatingIPs(ctx context.Context, which floatingips.ListOpts) ([]FloatingIP, error) {
	return List(ctx, r, Network, func(client *gophercloud.ServiceClient) pagination.Pager {
		which.ProjectID = ProjectOf(client) // an administrator would see those of all projects
		return floatingips.List(client, which)
	}, floatingips.ExtractFloatingIPs)
}

// FloatingIP is one of them by its id, or by its address; ErrNotFound if the project has it not.
func (r *Region) FloatingIP(ctx context.Context, idOrAddress string) (FloatingIP, error) {
	which := floatingips.ListOpts{ID: idOrAddress}
	if strings.ContainsAny(idOrAddress, ".:") { // an id has neither
		which = floatingips.ListOpts{FloatingIP: idOrAddress}
	}
	found, err := r.floatingIPs(ctx, which)
	if err != nil {
		return FloatingIP{}, err
	}
	if len(found) == 0 {
		return FloatingIP{}, r.NewError(ErrNotFound, Network, "the project has no floating IP "+idOrAddress,
			"«openstack floating ip list» shows which it has")
	}
	return found[0], nil
}

// Allocate takes an address out of an external network, and marks it in the same step: an answer that is lost leaves an address that
// FloatingIPsMarked finds. The mark is what people see as its description. It is not interrupted by the end of ctx.
func (r *Region) Allocate(ctx context.Context, networkID, mark string) (made FloatingIP, err error) {
	ctx, cancel := toTheAnswer(ctx)
	defer cancel()
	err = r.Do(ctx, Network, func(client *gophercloud.ServiceClient) error {
		answer, err := floatingips.Create(ctx, client, floatingips.CreateOpts{FloatingNetworkID: networkID, Description: mark}).Extract()
		if err == nil {
			made = *answer
		}
		return err
	})
	var fail *Error
	if errors.As(err, &fail) && strings.Contains(fail.Cause, "No more IP addresses") {
		fail.WayOut = "the network is used up: release addresses that nobody needs, or take another external network"
	}
	return made, err
}

// Mark marks an address that was not allocated with the mark, or with another one.
func (r *Region) Mark(ctx context.Context, id, mark string) error {
	_, err := r.updateFloatingIP(ctx, id, floatingips.UpdateOpts{Description: &mark})
	return err
}

// Associate leads an address to a port. fixedIP is which of the port's own addresses; empty for its only one. While no router connects
// the port's subnet with the address's network it is tried again, for five minutes at most: routers are often made at the same time.
func (r *Region) Associate(ctx context.Context, id, portID, fixedIP string) (FloatingIP, error) {
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, routerPatience)
	defer cancel()
	var refused error // by the last try that was answered
	for {
		done, err := r.updateFloatingIP(limited, id, floatingips.UpdateOpts{PortID: &portID, FixedIP: fixedIP})
		switch {
		case isUnreachable(err):
			refused = err
		case refused == nil || !errors.Is(err, context.DeadlineExceeded):
			return done, err
		}
		if wait(limited, routerPause, refused) != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return FloatingIP{}, errors.Join(ctx.Err(), refused)
			}
			return FloatingIP{}, withoutRouter(refused, time.Since(begin))
		}
	}
}

// isUnreachable knows Neutron's words for a router that lacks its gateway, or its interface in the port's subnet. The status is the
// same as that for a port which does not exist.
func isUnreachable(err error) bool {
	return errors.Is(err, ErrNotFound) && strings.Contains(err.Error(), "is not reachable from subnet")
}

// withoutRouter explains what was waited for in vain.
func withoutRouter(err error, waited time.Duration) error {
	var fail *Error
	if !errors.As(err, &fail) {
		return err
	}
	explained := *fail
	explained.kind = ErrUnavailable
	explained.Cause = fmt.Sprintf("no router led from the external network to the port in %s: %s", waited.Round(time.Second), fail.Cause)
	explained.WayOut = "give a router a gateway in the external network (openstack router set --external-gateway) and an interface in " +
		"the port's subnet (openstack router add subnet), and try again: the address is kept"
	return &explained
}

// Disassociate has an address lead nowhere. One that is gone is ErrNotFound.
func (r *Region) Disassociate(ctx context.Context, id string) error {
	nowhere := ""
	_, err := r.updateFloatingIP(ctx, id, floatingips.UpdateOpts{PortID: &nowhere})
	return err
}

func (r *Region) updateFloatingIP(ctx context.Context, id string, change floatingips.UpdateOpts) (changed FloatingIP, err error) {
	err = r.Do(ctx, Network, func(client *gophercloud.ServiceClient) error {
		answer, err := floatingips.Update(ctx, client, id, change).Extract()
		if err == nil {
			changed = *answer
		}
		return err
	})
	return changed, err
}

// Release gives an address back to its network, from where anybody may get it. One that is gone is no error.
func (r *Region) Release(ctx context.Context, id string) error {
	return UnlessGone(r.Do(ctx, Network, func(client *gophercloud.ServiceClient) error {
		return floatingips.Delete(ctx, client, id).ExtractErr()
	}))
}

// Port is an end of a network: that of a server, for example.
type Port = ports.Port

// Ports are those of a server.
func (r *Region) Ports(ctx context.Context, serverID string) ([]Port, error) {
	return r.ports(ctx, ports.ListOpts{DeviceID: serverID})
}

// PortsInGroup are those that a security group is on.
func (r *Region) PortsInGroup(ctx context.Context, groupID string) ([]Port, error) {
	return r.ports(ctx, ports.ListOpts{SecurityGroups: []string{groupID}})
}

func (r *Region) ports(ctx context.Context, which ports.ListOpts) ([]Port, error) {
	return List(ctx, r, Network, func(client *gophercloud.ServiceClient) pagination.Pager {
		return ports.List(client, which)
	}, ports.ExtractPorts)
}
