package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/provider"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"golang.org/x/crypto/ssh"
)

// bootable is the image that guests boot from; dummy is another one, for who wants to choose.
const (
	bootable = "testbed"
	dummy    = "dummy"
)

// images are what servers are made of. Without guests nothing boots them, so they are a block of zeros each.
func (c *cloud) images() service {
	return service{name: "images", needs: []string{"glance", "catalog"}, finish: func(ctx context.Context) error {
		session, err := c.session(ctx, admin)
		if err != nil {
			return err
		}
		client, err := openstack.NewImageV2(session, endpoint(regions[0]))
		if err != nil {
			return err
		}
		there, err := everything(ctx, images.List(client, nil), images.ExtractImages)
		if err != nil {
			return err
		}
		for _, name := range []string{bootable, dummy} {
			switch {
			case activeImage(there, name) != "":
			case c.guests && name == bootable:
				err = c.uploadGuest(ctx, patient(client), name, there)
			default:
				_, err = upload(ctx, client, images.CreateOpts{Name: name, DiskFormat: "raw", ContainerFormat: "bare"},
					bytes.NewReader(make([]byte, 1024)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// patient is a client whose calls are bounded by their context alone: they carry a whole image.
func patient(client *gophercloud.ServiceClient) *gophercloud.ServiceClient {
	changed, provider := *client, *client.ProviderClient
	provider.HTTPClient.Timeout = 0
	changed.ProviderClient = &provider
	return &changed
}

// furnishing is what a region has when it is handed over: flavors, networks, key pairs.
func (c *cloud) furnishing(r region) service {
	needs := []string{"nova-" + r.Name, "neutron-" + r.Name, "images", "swift-keystone"}
	if c.hasGuests(r) {
		needs = append(needs, hypervisorName(r))
	}
	return service{
		name: "region-" + r.Name, needs: needs,
		finish: func(ctx context.Context) error {
			session, err := c.session(ctx, admin)
			if err != nil {
				return err
			}
			if err := makeFlavors(ctx, session, r); err != nil {
				return err
			}
			outside, err := makeOutside(ctx, session, r)
			if err != nil {
				return err
			}
			for _, u := range tenants {
				if err := c.furnishTenant(ctx, r, u, outside); err != nil {
					return fmt.Errorf("furnish the project %s: %w", u.project, err)
				}
			}
			return nil
		},
	}
}

func makeFlavors(ctx context.Context, session *gophercloud.ProviderClient, r region) error {
	compute, err := openstack.NewComputeV2(session, endpoint(r))
	if err != nil {
		return err
	}
	there, err := everything(ctx, flavors.ListDetail(compute, nil), flavors.ExtractFlavors)
	if err != nil {
		return err
	}
	gib := func(n int) *int { return &n }
	for _, f := range []flavors.CreateOpts{
		{Name: "m1.tiny", VCPUs: 1, RAM: 512, Disk: gib(1)},
		{Name: "m1.small", VCPUs: 1, RAM: 1024, Disk: gib(5)},
		{Name: "m1.large", VCPUs: 2, RAM: 4096, Disk: gib(20)},
		// No hypervisor has such a disk, and no quota speaks of disks: «no valid host» can be had.
		{Name: "m1.huge", VCPUs: 1, RAM: 512, Disk: gib(10_000_000)},
	} {
		if absent(there, func(t flavors.Flavor) bool { return t.Name == f.Name }) {
			if _, err := flavors.Create(ctx, compute, f).Extract(); err != nil {
				return fmt.Errorf("make the flavor %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

// ensureNetwork makes a network and its subnet where they are missing. The number has the network's first three parts.
func ensureNetwork(ctx context.Context, client *gophercloud.ServiceClient, name string, o networks.CreateOptsBuilder, number string,
	outside bool) (network, subnet string, err error) {
	there, err := everything(ctx, networks.List(client, networks.ListOpts{Name: name}), networks.ExtractNetworks)
	if err != nil {
		return "", "", err
	}
	if len(there) > 0 {
		network = there[0].ID
	} else {
		made, err := networks.Create(ctx, client, o).Extract()
		if err != nil {
			return "", "", fmt.Errorf("make the network %s: %w", name, err)
		}
		network = made.ID
	}
	parts, err := everything(ctx, subnets.List(client, subnets.ListOpts{NetworkID: network}), subnets.ExtractSubnets)
	if err != nil {
		return "", "", err
	}
	if len(parts) > 0 {
		return network, parts[0].ID, nil
	}
	gateway, dhcp := number+".1", !outside
	made, err := subnets.Create(ctx, client, subnets.CreateOpts{
		NetworkID: network, Name: name, IPVersion: gophercloud.IPv4, CIDR: number + ".0/24", GatewayIP: &gateway, EnableDHCP: &dhcp,
		AllocationPools: []subnets.AllocationPool{{Start: number + ".10", End: number + ".250"}},
	}).Extract()
	if err != nil {
		return "", "", fmt.Errorf("make the subnet of %s: %w", name, err)
	}
	return network, made.ID, nil
}

// makeOutside makes the network of floating IPs.
func makeOutside(ctx context.Context, session *gophercloud.ProviderClient, r region) (string, error) {
	client, err := openstack.NewNetworkV2(session, endpoint(r))
	if err != nil {
		return "", err
	}
	const name = "ext-net"
	yes := true
	network, _, err := ensureNetwork(ctx, client, name, provider.CreateOptsExt{
		CreateOptsBuilder: external.CreateOptsExt{CreateOptsBuilder: networks.CreateOpts{Name: name}, External: &yes},
		Segments:          []provider.Segment{{NetworkType: "flat", PhysicalNetwork: physicalNetwork}},
	}, r.Floating, true)
	return network, err
}

// physicalNetwork is what Neutron calls the agent's bridge.
const physicalNetwork = "physext"

// furnishTenant gives a project a network with a router to the outside, and a key pair.
func (c *cloud) furnishTenant(ctx context.Context, r region, u user, outside string) error {
	session, err := c.session(ctx, u)
	if err != nil {
		return err
	}
	client, err := openstack.NewNetworkV2(session, endpoint(r))
	if err != nil {
		return err
	}
	name := "net_" + u.project
	_, subnet, err := ensureNetwork(ctx, client, name, networks.CreateOpts{Name: name}, "10.77.0", false)
	if err != nil {
		return err
	}
	there, err := everything(ctx, routers.List(client, routers.ListOpts{Name: u.project}), routers.ExtractRouters)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		made, err := routers.Create(ctx, client, routers.CreateOpts{
			Name: u.project, GatewayInfo: &routers.GatewayInfo{NetworkID: outside},
		}).Extract()
		if err != nil {
			return fmt.Errorf("make the router: %w", err)
		}
		there = append(there, *made)
	}
	// It is there already, and says so as a conflict, if an earlier start came as far as this.
	_, err = routers.AddInterface(ctx, client, there[0].ID, routers.AddInterfaceOpts{SubnetID: subnet}).Extract()
	if err != nil && !gophercloud.ResponseCodeIs(err, 400) && !gophercloud.ResponseCodeIs(err, 409) {
		return fmt.Errorf("connect the network with the router: %w", err)
	}
	return c.ensureKeyPair(ctx, session, r, u)
}

// keyFile has the private key of all key pairs.
const keyFile = "credentials/id_ed25519"

func (c *cloud) ensureKeyPair(ctx context.Context, session *gophercloud.ProviderClient, r region, u user) error {
	key := ed25519.NewKeyFromSeed(c.derive("ssh"))
	private, err := ssh.MarshalPrivateKey(key, "openstack")
	if err != nil {
		return err
	}
	if !c.d.Exists(keyFile) {
		if _, err := c.d.WriteFile(keyFile, pem.EncodeToMemory(private), 0o600); err != nil {
			return err
		}
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	compute, err := openstack.NewComputeV2(session, endpoint(r))
	if err != nil {
		return err
	}
	_, err = keypairs.Create(ctx, compute, keypairs.CreateOpts{
		Name: u.name, PublicKey: string(ssh.MarshalAuthorizedKey(public)),
	}).Extract()
	if gophercloud.ResponseCodeIs(err, 409) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the key pair: %w", err)
	}
	return nil
}
