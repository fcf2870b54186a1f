package openstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// What a server of ours has on it, besides the tag for people who list servers: metadata that say whose it is and how far it is.
const (
	// stackKey is the stack that it belongs to.
	stackKey = "autopkgtest-cloud-stack"
	// makingKey is there, with a hash of what the server is made of, until it is finished: such a server is in nobody's
	// state, or in that of somebody who was interrupted.
	makingKey = "autopkgtest-cloud-making"
)

// Instance is a machine as it shall be.
type Instance struct {
	Name, Stack string
	// ImagePattern is for [cloud.Region.NewestImage]. Flavor is a name; Network a name or an id, or empty for the only one.
	ImagePattern, Flavor, Network string
	// Key is the name of a key pair, or empty. Groups are names of security groups.
	Key    string
	Groups []string
	// Data is for cloud-init; see UserData.
	Data []byte
}

// fingerprint is the same for instances whose servers are made in the same way.
func (want Instance) fingerprint() string {
	hash := sha256.New()
	for _, part := range []string{want.ImagePattern, want.Flavor, want.Network, want.Key, string(want.Data)} {
		fmt.Fprintf(hash, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil))[:32]
}

// Made is what has become of an Instance.
type Made struct {
	ID string
	// Image is the id of the image it was made of, and ImageName its name.
	Image, ImageName string
	// Address is its first fixed address, of IPv4 if it has one. Port is the id of Neutron's port that has it.
	Address, Port string
	// Floating is its floating address, if it has one.
	Floating string
	// Network is the name of its network.
	Network string
	// Unfinished: see FinishInstance.
	Unfinished bool
}

// Failure is an error about an instance, with what is known of it beside.
type Failure struct {
	Err error
	// Log is what the machine itself has said, if it was asked; Console is the end of what its console shows.
	Log, Console string
}

// Error is the error's text alone.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// EnsureInstance makes an instance, or finishes one that was begun, or brings the one with the id to what it shall be; id is empty for one
// that is not known yet. What it has found out is in Made, also after an error. It waits until the server is ACTIVE, for as long as ctx
// allows. The instance is finished only with FinishInstance.
//
// Image, flavor, network, key and user data are those of the making: of a server that is there they are not looked at.
func (i *Inventory) EnsureInstance(ctx context.Context, want Instance, id string) (Made, error) {
	defer i.servers.drop()
	if id == "" {
		release, err := i.claim(want)
		if err != nil {
			return Made{}, err
		}
		made, err := i.ensureInstance(ctx, want, "")
		if err != nil {
			release()
		}
		return made, err
	}
	return i.ensureInstance(ctx, want, id)
}

func (i *Inventory) ensureInstance(ctx context.Context, want Instance, id string) (Made, error) {
	server, err := i.findInstance(ctx, want, id)
	if err != nil {
		return Made{ID: id}, err
	}
	if server == nil {
		if id, err = i.boot(ctx, want); err != nil {
			return Made{}, err
		}
	}
	if server == nil || server.Status == cloud.StatusBuild { // until it is built, it says nothing of groups and addresses
		if server != nil {
			id = server.ID
		}
		if server, err = i.awaitNew(ctx, id); err != nil {
			return Made{ID: id, Unfinished: true}, err
		}
	}
	made := madeOf(server)
	if err := i.converge(ctx, want, server); err != nil {
		return made, err
	}
	if server, err = i.awaitUp(ctx, server); err != nil {
		return made, err
	}
	made = madeOf(server)
	return made, i.complete(ctx, &made)
}

// claim has nobody else of this process make an instance of the same name at the same time: each would take the other's for what an
// interruption has left.
func (i *Inventory) claim(want Instance) (release func(), err error) {
	i.claims.Lock()
	defer i.claims.Unlock()
	if i.claimed[want.Name] {
		return nil, i.NewError(cloud.ErrConflict, cloud.Compute, "two instances are to have the name "+want.Name,
			"give each a name of its own")
	}
	if i.claimed == nil {
		i.claimed = map[string]bool{}
	}
	i.claimed[want.Name] = true
	return func() {
		i.claims.Lock()
		defer i.claims.Unlock()
		delete(i.claimed, want.Name)
	}, nil
}

// findInstance returns the server with the id; without one, that which an earlier attempt has left, or nil.
func (i *Inventory) findInstance(ctx context.Context, want Instance, id string) (*cloud.Server, error) {
	if id != "" {
		server, err := i.Server(ctx, id)
		if err == nil && isGone(server) {
			err = i.NewError(cloud.ErrNotFound, cloud.Compute, "server "+id+" was deleted meanwhile", "plan again: then it is made anew")
		}
		return server, err
	}
	i.servers.drop()
	all, err := i.allServers(ctx)
	if err != nil {
		return nil, err
	}
	var left *cloud.Server
	for n := range all {
		server := &all[n]
		switch {
		case server.Name != want.Name || isGone(server):
		case server.Metadata[stackKey] != want.Stack || server.Metadata[makingKey] == "":
			return nil, i.taken(server, want.Stack)
		case left == nil && server.Status != cloud.StatusError && server.Metadata[makingKey] == want.fingerprint():
			left = server
		default: // begun in another way, or failed: nobody has it
			if err := i.RemoveInstance(ctx, server.ID); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
}

// taken is the refusal to make a second server of a name.
func (i *Inventory) taken(server *cloud.Server, stack string) error {
	whose := "is not this stack's"
	if server.Metadata[stackKey] == stack {
		whose = "was made and finished by the stack " + stack + " before"
	}
	return i.NewError(cloud.ErrConflict, cloud.Compute, fmt.Sprintf("there is a server %s already, %s, which %s",
		server.Name, server.ID, whose),
		fmt.Sprintf("choose another name; or take it over with the import id %s,%s; or remove it: openstack server delete %s",
			i.Name(), server.ID, server.ID))
}

// boot asks for the server. Where nobody answers it looks whether the server is there nevertheless.
func (i *Inventory) boot(ctx context.Context, want Instance) (string, error) {
	image, err := i.NewestImage(ctx, want.ImagePattern)
	if err != nil {
		return "", in("image_pattern", err)
	}
	flavor, err := i.Flavor(ctx, want.Flavor)
	if err == nil && flavor.Name != want.Flavor {
		err = i.NewError(cloud.ErrInvalid, cloud.Compute, want.Flavor+" is the id of a flavor", "write its name, "+flavor.Name)
	}
	if err != nil {
		return "", in("flavor", err)
	}
	network, err := i.InternalNetwork(ctx, want.Network)
	if err != nil {
		return "", in("network", err)
	}
	id, err := i.Boot(ctx, cloud.Boot{
		Name: want.Name, Image: image.ID, Flavor: flavor.ID, Network: network.ID, Key: want.Key, Groups: want.Groups, UserData: want.Data,
		Tags: []string{cloud.OwnTag}, Metadata: map[string]string{stackKey: want.Stack, makingKey: want.fingerprint()},
	})
	if cloud.Unanswered(err) && ctx.Err() == nil {
		if left, failed := i.findInstance(ctx, want, ""); failed == nil && left != nil {
			return left.ID, nil
		}
	}
	return id, err
}

// awaitNew waits for a server that was just asked for. One that ends in ERROR never ran: it is removed at once, so that it neither costs
// nor counts, and the error has all that is known of it.
func (i *Inventory) awaitNew(ctx context.Context, id string) (*cloud.Server, error) {
	server, err := i.AwaitActive(ctx, id)
	if err == nil || errors.Is(err, cloud.ErrNotFound) {
		return server, err
	}
	err = i.failure(ctx, id, "", err)
	if errors.Is(err, cloud.ErrNoHost) || errors.Is(err, cloud.ErrBroken) {
		err = errors.Join(err, i.RemoveInstance(ctx, id))
	}
	return server, err
}

// FinishInstance takes the mark of the making from a server. Nobody takes it for a leftover any more.
func (i *Inventory) FinishInstance(ctx context.Context, made *Made) error {
	if !made.Unfinished {
		return nil
	}
	defer i.servers.drop()
	if err := cloud.UnlessGone(i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
		return servers.DeleteMetadatum(ctx, client, made.ID, makingKey).ExtractErr()
	})); err != nil {
		return err
	}
	made.Unfinished = false
	return nil
}

// RemoveInstance removes a server and its ports, and waits until they are gone.
func (i *Inventory) RemoveInstance(ctx context.Context, id string) error {
	defer i.servers.drop()
	// Nova takes down the ports that it has made. What it leaves behind, with a hypervisor that is away, is known by its device.
	had, err := i.Ports(ctx, id)
	if err != nil && !errors.Is(err, cloud.ErrNoService) {
		return err
	}
	if err := i.DeleteServer(ctx, id); err != nil {
		return err
	}
	if err := i.AwaitGone(ctx, id); err != nil {
		return err
	}
	if len(had) == 0 {
		return nil
	}
	left, err := i.Ports(ctx, id)
	for _, port := range left {
		err = errors.Join(err, cloud.UnlessGone(i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
			return ports.Delete(ctx, client, port.ID).ExtractErr()
		})))
	}
	return err
}

// RemoveUnfinished removes what an interrupted attempt has left of an instance whose id nobody knows.
func (i *Inventory) RemoveUnfinished(ctx context.Context, stack, name string) error {
	i.servers.drop()
	all, err := i.allServers(ctx)
	for _, server := range all {
		if server.Name == name && server.Metadata[stackKey] == stack && server.Metadata[makingKey] != "" && !isGone(&server) {
			err = errors.Join(err, i.RemoveInstance(ctx, server.ID))
		}
	}
	return err
}
