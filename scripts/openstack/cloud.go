package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// The services' usual ports. Clients need none of them: they ask the catalog.
const (
	portKeystone  = 5000
	portGlance    = 9292
	portSwift     = 8888
	portPlacement = 8778
	portNova      = 8774
	portNeutron   = 9696
)

// cloud is the whole of it in its folder. All templates read it, through their service's own type. What it consists of depends on at and
// seed alone.
type cloud struct {
	d        *host.Directory
	at       place
	seed     []byte
	sessions sessions
	cache    string // absolute path of the folder for what takes long to make
	guests   bool   // in the first region servers are machines
}

// place is where the cloud is.
type place struct {
	folder, address, account string
	amqp, memcached          int    // ports
	management               string // HOST:PORT of the broker's API
	program                  host.Binary
	installed                string // path of the program, once it is in the folder
}

func (p place) path(elements ...string) string {
	return filepath.Join(append([]string{p.folder}, elements...)...)
}

// service is a path in the folder of a service.
func (p place) service(name string, elements ...string) string {
	return p.path(append([]string{"services", name}, elements...)...)
}

// seedFile has the one secret that was made at random. All passwords and keys are derived from it, so that each start comes to the
// same ones and no two can be mixed up.
const seedFile = "credentials/seed"

func newCloud(d *host.Directory, cache string) (*cloud, error) {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return nil, err
	}
	seed, err := d.ReadFile(seedFile)
	if errors.Is(err, fs.ErrNotExist) {
		seed = []byte(rand.Text() + rand.Text())
		_, err = d.WriteFile(seedFile, seed, 0o600)
	}
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := host.LocateFile("openstack", self)
	if err != nil {
		return nil, err
	}
	c := &cloud{d: d, seed: seed, cache: cache, guests: d.Exists(guestsFile), at: place{
		folder: d.Path(), address: d.Address(), account: d.Account().Name, memcached: d.Port(host.RoleMemcached),
		management: net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port(host.RoleManagement))),
		program:    program, installed: d.BinaryPath(program),
	}}
	_, c.at.amqp, _ = d.AMQP()
	// A socket's address has room for 107 bytes.
	if path := c.Socket(); len(path) > 107 {
		return nil, &host.Problem{Kind: host.ErrInvalid, Thing: "the folder " + d.Path(),
			Cause: "has too long a path for the socket " + path, WayOut: "Use a folder with a shorter path."}
	}
	return c, nil
}

func (c *cloud) derive(name string) []byte {
	sum := hmac.New(sha256.New, c.seed)
	sum.Write([]byte(name))
	return sum.Sum(nil)
}

// Password is the one of a user, of Keystone or of the broker: letters and digits.
func (c *cloud) Password(name string) config.Secret {
	const length = 32
	text := base32.StdEncoding.EncodeToString(c.derive("password/" + name))
	return config.Secret(strings.ToLower(text[:length]))
}

// fernetKey is one of Keystone's keys for tokens.
func (c *cloud) fernetKey(name string) []byte {
	return []byte(base64.URLEncoding.EncodeToString(c.derive("fernet/" + name)))
}

// Address is where everything listens: the folder's own, so that clouds do not meet.
func (c *cloud) Address() string { return c.at.address }

// listen is an address of the cloud's as host.Process has it.
func (c *cloud) listen(port int) string { return net.JoinHostPort(c.Address(), strconv.Itoa(port)) }

func (c *cloud) url(port int) string {
	return "http://" + net.JoinHostPort(c.Address(), strconv.Itoa(port))
}

// Keystone is where clients log in, without the version.
func (c *cloud) Keystone() string { return c.url(portKeystone) }

// AuthURL is what clients are told.
func (c *cloud) AuthURL() string { return c.Keystone() + "/v3" }

// folderVariable names the folder of RC files to tests.
const folderVariable = "AUTOPKGTEST_TEST_OPENSTACK"

// environment is what tests find the cloud and its broker by; the latter as scripts/stack has it. It has a password in it.
func (c *cloud) environment() ([]string, error) {
	administrator, err := config.ReadBroker(c.at.path("credentials/rabbitmq-admin"))
	if err != nil {
		return nil, err
	}
	user := administrator.Username + ":" + administrator.Password.Reveal() + "@"
	return []string{
		folderVariable + "=" + c.at.path(rcFolder),
		"AUTOPKGTEST_TEST_AMQP=amqp://" + user + administrator.Address() + "/",
		"AUTOPKGTEST_TEST_MANAGEMENT=http://" + user + c.at.management,
		"AUTOPKGTEST_TEST_DIRECTORY=" + c.at.path(),
	}, nil
}

// up makes the cloud run and waits until a server could be made in each region. What runs already is left alone.
func (c *cloud) up(ctx context.Context) error {
	begin := time.Now()
	services, err := c.services()
	if err != nil {
		return err
	}
	if err := startAll(ctx, c.d, services, func(name string) {
		fmt.Fprintf(os.Stderr, "openstack: %s serves after %.1f s\n", name, time.Since(begin).Seconds())
	}); err != nil {
		return err
	}
	return c.writeRCFiles()
}

// services are all of the cloud, in no particular order.
func (c *cloud) services() ([]service, error) {
	all := []service{c.broker(), c.store()}
	defined := []func() (service, error){c.keystone, c.glance, c.swiftProxy}
	for _, r := range regions {
		defined = append(defined,
			func() (service, error) { return c.placement(r) },
			func() (service, error) { return c.nova(r) },
			func() (service, error) { return c.neutron(r) },
		)
		if c.hasGuests(r) {
			defined = append(defined, func() (service, error) { return c.hypervisor(r) })
		}
	}
	for _, define := range defined {
		s, err := define()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	all = append(all, c.database(all), c.catalog(), c.images())
	for _, r := range regions {
		all = append(all, c.furnishing(r))
	}
	return all, nil
}

// as is a service's user, for the parts of configuration files in which it logs in.
type as struct {
	Cloud *cloud
	User  string
}

// As, RunsAs, Glance, PhysicalNetwork and PrivSep are for the templates.
func (c *cloud) As(user string) as       { return as{c, user} }
func (c *cloud) RunsAs() string          { return c.at.account }
func (c *cloud) Glance() string          { return c.url(portGlance) }
func (c *cloud) PhysicalNetwork() string { return physicalNetwork }

// PrivSep names the parts of Neutron that start a helper for what root alone may do.
func (c *cloud) PrivSep() []string {
	return []string{"privsep", "privsep_dhcp_release", "privsep_ovs_vsctl", "privsep_namespace", "privsep_conntrack", "privsep_link"}
}
