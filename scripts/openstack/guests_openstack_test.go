//go:build openstack && guests

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"golang.org/x/crypto/ssh"
)

// guestName is what all is called that these tests make.
const guestName = "guest"

// bootLimit is for a machine that is emulated beside others that want the processors: it was seen to take twelve minutes instead of one.
const bootLimit = 25 * time.Minute

// TestGuest runs where floating IPs are reached: a server boots and lets its key in, and its security group decides who reaches it.
func TestGuest(t *testing.T) {
	p := newTenant(t)
	group := p.group(t)
	rule := p.letIn(t, group)
	door := net.JoinHostPort(p.float(t, p.boot(t)), "22")
	session := p.login(t, door)
	defer session.Close()
	command, err := session.NewSession()
	must(t, command, err)
	out, err := command.CombinedOutput("hostname && cloud-init status --wait && getent hosts deb.debian.org")
	if must(t, out, err); !strings.HasPrefix(string(out), guestName+"\n") || !strings.Contains(string(out), "status: done") {
		t.Errorf("it says %q", out)
	}
	reached := func() bool {
		c, err := net.DialTimeout("tcp", door, 3*time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if err := rules.Delete(t.Context(), p.network, rule).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	await(t, "a closed door", func() bool { return !reached() })
	p.letIn(t, group)
	await(t, "an open door", reached)
}

// tenant is a user's project in the region of guests.
type tenant struct {
	compute, network, pictures *gophercloud.ServiceClient

	key ssh.Signer
}

func newTenant(t *testing.T) tenant {
	t.Helper()
	rc := given(t)
	values := read(t, filepath.Join(rc, "prodstack-"+regions[0].Name+".rc"))
	provider := enter(t, values)
	where := gophercloud.EndpointOpts{Region: values["OS_REGION_NAME"]}
	p := tenant{
		compute: client(t)(openstack.NewComputeV2(provider, where)), network: client(t)(openstack.NewNetworkV2(provider, where)),
		pictures: client(t)(openstack.NewImageV2(provider, where)),
	}
	private, err := os.ReadFile(filepath.Join(filepath.Dir(rc), filepath.Base(keyFile)))
	must(t, private, err)
	p.key, err = ssh.ParsePrivateKey(private)
	must(t, p.key, err)
	return p
}

// group makes a security group that lets nobody in.
func (p tenant) group(t *testing.T) (id string) {
	t.Helper()
	group, err := groups.Create(t.Context(), p.network, groups.CreateOpts{Name: guestName}).Extract()
	must(t, group, err)
	afterwards(t, "the group", func(ctx context.Context) error { return groups.Delete(ctx, p.network, group.ID).ExtractErr() })
	return group.ID
}

// letIn makes a rule for ssh.
func (p tenant) letIn(t *testing.T, group string) (id string) {
	t.Helper()
	rule, err := rules.Create(t.Context(), p.network, rules.CreateOpts{
		SecGroupID: group, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
		PortRangeMin: 22, PortRangeMax: 22,
	}).Extract()
	return must(t, rule, err).ID
}

func (p tenant) net(t *testing.T, name string) (id string) {
	t.Helper()
	all, err := everything(t.Context(), networks.List(p.network, nil), networks.ExtractNetworks)
	return named(t, must(t, all, err), name, func(n networks.Network) string { return n.Name }).ID
}

// boot makes a server with the group, and waits until it is ACTIVE.
func (p tenant) boot(t *testing.T) (id string) {
	t.Helper()
	ctx := t.Context()
	kinds, err := everything(ctx, flavors.ListDetail(p.compute, nil), flavors.ExtractFlavors)
	kind := named(t, must(t, kinds, err), "m1.small", func(f flavors.Flavor) string { return f.Name })
	all, err := everything(ctx, images.List(p.pictures, nil), images.ExtractImages)
	image := named(t, must(t, all, err), bootable, func(i images.Image) string { return i.Name })
	server, err := servers.Create(ctx, p.compute, keypairs.CreateOptsExt{CreateOptsBuilder: servers.CreateOpts{
		Name: guestName, FlavorRef: kind.ID, ImageRef: image.ID, Networks: []servers.Network{{UUID: p.net(t, "net_prodstack")}},
		SecurityGroups: []string{guestName},
	}, KeyName: "prodstack"}, nil).Extract()
	must(t, server, err)
	afterwards(t, "the server", func(ctx context.Context) error { return p.end(ctx, server.ID) })
	await(t, "the server", func() bool {
		now, err := servers.Get(ctx, p.compute, server.ID).Extract()
		if err != nil || now.Status == "ERROR" {
			t.Fatalf("server: %v, %+v", err, now)
		}
		return now.Status == "ACTIVE"
	})
	return server.ID
}

// end removes a server and waits until it is gone: its group is in use for as long.
func (p tenant) end(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := servers.Delete(ctx, p.compute, id).ExtractErr(); err != nil {
		return err
	}
	for {
		_, err := servers.Get(ctx, p.compute, id).Extract()
		if gophercloud.ResponseCodeIs(err, 404) {
			return nil
		}
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
}

// float gives a server a floating IP.
func (p tenant) float(t *testing.T, server string) (address string) {
	t.Helper()
	doors, err := everything(t.Context(), ports.List(p.network, ports.ListOpts{DeviceID: server}), ports.ExtractPorts)
	if must(t, doors, err); len(doors) != 1 {
		t.Fatalf("the server has %d ports", len(doors))
	}
	made, err := floatingips.Create(t.Context(), p.network, floatingips.CreateOpts{
		FloatingNetworkID: p.net(t, "ext-net"), PortID: doors[0].ID,
	}).Extract()
	must(t, made, err)
	afterwards(t, "the floating IP", func(ctx context.Context) error {
		return floatingips.Delete(ctx, p.network, made.ID).ExtractErr()
	})
	return made.FloatingIP
}

// login waits until the key is let in.
func (p tenant) login(t *testing.T, door string) (session *ssh.Client) {
	t.Helper()
	awaitFor(t, bootLimit, "ssh", func() (done bool) {
		var err error
		session, err = ssh.Dial("tcp", door, &ssh.ClientConfig{
			User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(p.key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
			Timeout: 10 * time.Second,
		})
		return err == nil
	})
	return session
}
