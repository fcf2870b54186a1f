package openstack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Fields of a FloatingIP, for FieldError.
const (
	FieldName     = "name"
	FieldAddress  = "address"
	FieldPool     = "pool"
	FieldPort     = "port_id"
	FieldInstance = "instance_id"
	FieldFixedIP  = "fixed_ip"
)

// FloatingIPReleased is the problem of an address that the project has no more.
const FloatingIPReleased = "the project has this address no more: somebody has released it"

const floatingIPMark = "autopkgtest-cloud: floating IP "

// FloatingIPMark is what an address carries as its description, so that it is found again when nothing else is known of it. Names
// differ within a stack, and stacks within a project.
func FloatingIPMark(stack, name string) string { return floatingIPMark + stack + "/" + name }

// FloatingIPName is the name in a description; false if it is not one of the stack's marks.
func FloatingIPName(stack, description string) (string, bool) {
	name, is := strings.CutPrefix(description, FloatingIPMark(stack, ""))
	return name, is && name != ""
}

// FloatingIP is an address as it shall be: one that is allocated, or one that the project has and that is only used.
type FloatingIP struct {
	// ID is that of the one that it has been; empty for one that is made, or found, now.
	ID string
	// Mark is what it carries if it is allocated here.
	Mark string
	// Adopted is the address of one that the project has; empty for one that is allocated here.
	Adopted string
	// Pool is the name or id of the external network; empty for the only one.
	Pool string
	// PortID is where it leads; or ServerID, to the server's only port. Neither: nowhere.
	PortID, ServerID string
	// FixedIP is which of the port's addresses; empty for its only one.
	FixedIP string
}

// EnsureFloatingIP makes it so, whatever is there already, and returns what is there in the end; after an error as much of it as there
// is, so that it can be finished later. An address that leads to another port is not taken away from there, unless it has been this one.
func (i *Inventory) EnsureFloatingIP(ctx context.Context, want FloatingIP) (there cloud.FloatingIP, err error) {
	defer i.busy.Take(FieldAddress + want.Adopted + want.Mark)()
	defer i.floatingIPs.drop()
	// Before an address is allocated that nobody can use.
	port, err := i.portOf(ctx, want)
	if err != nil {
		return there, err
	}
	if there, err = i.findOrAllocate(ctx, want, port); err != nil {
		return there, err
	}
	i.inUse.add(there.ID)
	if want.Adopted == "" && there.Description != want.Mark {
		if err := i.Mark(ctx, there.ID, want.Mark); err != nil {
			return there, err
		}
	}
	switch {
	case port == "" && there.PortID == "", port == there.PortID && (want.FixedIP == "" || want.FixedIP == there.FixedIP):
		return there, nil
	case port == "":
		err = i.Disassociate(ctx, there.ID)
		there.PortID, there.FixedIP = "", ""
		return there, err
	}
	done, err := i.Associate(ctx, there.ID, port, want.FixedIP)
	if err != nil {
		return there, in(fieldOfPort(want, err), err)
	}
	return done, nil
}

// fieldOfPort is which field Neutron's refusal is about.
func fieldOfPort(want FloatingIP, err error) string {
	switch {
	case errors.Is(err, cloud.ErrInvalid) && want.FixedIP != "":
		return FieldFixedIP
	case want.PortID == "":
		return FieldInstance
	}
	return FieldPort
}

// portOf is the id of the port that it shall lead to; empty for nowhere.
func (i *Inventory) portOf(ctx context.Context, want FloatingIP) (string, error) {
	if want.ServerID == "" {
		return want.PortID, nil
	}
	all, err := i.Ports(ctx, want.ServerID)
	if err != nil {
		return "", err
	}
	var fit []cloud.Port
	var names []string
	for _, port := range all {
		var addresses []string
		for _, fixed := range port.FixedIPs {
			addresses = append(addresses, fixed.IPAddress)
		}
		names = append(names, fmt.Sprintf("%s (%s)", port.ID, strings.Join(addresses, ", ")))
		if want.FixedIP == "" || strings.Contains(" "+strings.Join(addresses, " ")+" ", " "+want.FixedIP+" ") {
			fit = append(fit, port)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0].ID, nil
	case len(all) == 0:
		return "", in(FieldInstance, i.NewError(cloud.ErrNotFound, cloud.Network, "the instance "+want.ServerID+" has no port",
			"is it there (openstack server show), and in a network?"))
	case len(fit) == 0:
		return "", in(FieldFixedIP, i.NewError(cloud.ErrNotFound, cloud.Network,
			fmt.Sprintf("the instance %s has no address %s: its ports are %s", want.ServerID, want.FixedIP, strings.Join(names, ", ")),
			"set fixed_ip to one of these addresses"))
	}
	return "", in(FieldInstance, i.NewError(cloud.ErrConflict, cloud.Network,
		fmt.Sprintf("the instance %s has several ports: %s", want.ServerID, strings.Join(names, ", ")),
		"set port_id to one of them in the place of instance_id, or fixed_ip"))
}

func (i *Inventory) findOrAllocate(ctx context.Context, want FloatingIP, port string) (cloud.FloatingIP, error) {
	there, err := i.findAddress(ctx, want)
	switch {
	case err != nil:
		return there, err
	case there.ID == "":
		outside, err := i.pool(ctx, want.Pool)
		if err != nil {
			return there, err
		}
		return i.Allocate(ctx, outside.ID, want.Mark)
	case want.ID == "" && there.PortID != "" && there.PortID != port:
		field, whose := FieldName, "another floating IP of this name may be in use"
		if want.Adopted != "" {
			field, whose = FieldAddress, "somebody uses it"
		}
		return cloud.FloatingIP{}, in(field, i.NewError(cloud.ErrConflict, cloud.Network,
			fmt.Sprintf("%s leads to the port %s already: %s", there.FloatingIP, there.PortID, whose),
			"take another "+field+"; or, if nobody needs it there, detach it (openstack floating ip unset --port "+there.FloatingIP+
				"); or import it"))
	case want.Pool != "":
		outside, err := i.pool(ctx, want.Pool)
		if err == nil && outside.ID != there.FloatingNetworkID {
			err = in(FieldPool, i.NewError(cloud.ErrConflict, cloud.Network,
				fmt.Sprintf("%s is not of the external network %s, but of %s", there.FloatingIP, outside.Name, there.FloatingNetworkID),
				"name that one as the pool, or have the address replaced (terraform apply -replace)"))
		}
		return there, err
	}
	return there, nil
}

// findAddress is the address that is there; without an ID if there is none.
func (i *Inventory) findAddress(ctx context.Context, want FloatingIP) (cloud.FloatingIP, error) {
	for _, known := range []string{want.Adopted, want.ID} {
		if known == "" {
			continue
		}
		there, err := i.FloatingIP(ctx, known)
		if known == want.Adopted {
			return there, in(FieldAddress, err)
		}
		if !errors.Is(err, cloud.ErrNotFound) {
			return there, err
		}
	}
	marked, err := i.FloatingIPsMarked(ctx, want.Mark)
	switch {
	case err != nil || len(marked) == 0:
		return cloud.FloatingIP{}, err
	case len(marked) > 1:
		return cloud.FloatingIP{}, in(FieldName, i.NewError(cloud.ErrConflict, cloud.Network,
			fmt.Sprintf("%s and %s have the same description, %q", marked[0].FloatingIP, marked[1].FloatingIP, want.Mark),
			"release the one that nobody needs, or import the right one by its id ("+marked[0].ID+" or "+marked[1].ID+")"))
	}
	return marked[0], nil
}

func (i *Inventory) pool(ctx context.Context, name string) (cloud.Net, error) {
	found, err := i.ExternalNetwork(ctx, name)
	var fail *cloud.Error
	if errors.As(err, &fail) && name == "" && errors.Is(err, cloud.ErrConflict) {
		fail.WayOut = "set pool to one of them"
	}
	if errors.Is(err, cloud.ErrNotFound) || errors.Is(err, cloud.ErrConflict) {
		return found, in(FieldPool, err)
	}
	return found, err
}

// OfAnotherPool says whether an address is of another external network than the one of this name or id.
func (i *Inventory) OfAnotherPool(ctx context.Context, id, pool string) (bool, error) {
	outside, err := i.pool(ctx, pool)
	if err != nil {
		return false, err
	}
	all, err := i.floatingIPs.all(ctx, i.FloatingIPs)
	for _, one := range all {
		if one.ID == id {
			return one.FloatingNetworkID != outside.ID, err
		}
	}
	return false, err
}

// LookAtFloatingIP says what is there and what is wrong with it; port is where it should lead, and want what else it should be.
func (i *Inventory) LookAtFloatingIP(ctx context.Context, want FloatingIP, port string) (
	there cloud.FloatingIP, problem string, err error) {
	all, err := i.floatingIPs.all(ctx, i.FloatingIPs)
	if err != nil {
		return there, "", err
	}
	for _, one := range all {
		left := want.ID == "" && want.Mark != "" && one.Description == want.Mark // by an interruption
		if one.ID == want.ID || there.ID == "" && (left || want.Adopted != "" && one.FloatingIP == want.Adopted) {
			there = one
		}
	}
	switch {
	case there.ID == "":
		return there, FloatingIPReleased, nil
	case there.PortID == "" && port != "":
		return there, "it is detached from the port " + port, nil
	case there.PortID != port && port != "":
		return there, fmt.Sprintf("it leads to the port %s, and not to %s", there.PortID, port), nil
	case there.PortID != port:
		return there, "it leads to the port " + there.PortID + ", and should lead nowhere", nil
	case want.FixedIP != "" && there.FixedIP != want.FixedIP:
		return there, fmt.Sprintf("it leads to the port's address %s, and not to %s", there.FixedIP, want.FixedIP), nil
	case want.Adopted == "" && want.Mark != "" && there.Description != want.Mark:
		return there, "its description does not say any more whose it is", nil
	}
	return there, "", nil
}

// RemoveFloatingIP releases an address that was allocated here. One that was adopted stays the project's, and only leads no more to
// the port. One that this process has ensured stays as it is: it has been taken over by what comes in this one's place. Where no id is
// known, what was allocated under the mark and leads nowhere is what an interruption has left. One that is gone is no error.
func (i *Inventory) RemoveFloatingIP(ctx context.Context, was FloatingIP, port string) error {
	defer i.floatingIPs.drop()
	if i.inUse.has(was.ID) {
		return nil
	}
	switch {
	case was.Adopted != "" && was.ID != "":
		there, err := i.FloatingIP(ctx, was.ID)
		if err == nil && port != "" && there.PortID == port {
			err = i.Disassociate(ctx, was.ID)
		}
		return cloud.UnlessGone(err)
	case was.Adopted != "" || was.ID == "" && was.Mark == "":
		return nil
	case was.ID != "":
		return i.Release(ctx, was.ID)
	}
	left, err := i.FloatingIPsMarked(ctx, was.Mark)
	for _, one := range left {
		if one.PortID == "" {
			err = errors.Join(err, i.Release(ctx, one.ID))
		}
	}
	return err
}
