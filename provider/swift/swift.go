// Package swift keeps a result store in a stack's folder: OpenStack Swift on one node, with one replica and one account.
//
// Four servers (proxy, account, container, object), two updaters and a memcached run under the stack's supervisor as
// the stack's account, listen on loopback only, unless the proxy is told otherwise, and keep everything below
// services/swift. Of all that, the contents of data/ cannot be made again; the rest is written anew by each [Apply].
//
// The package knows nothing of results, and of Terraform nothing either. It is not for a store of several machines:
// one that is installed on a cluster needs no help from here, only its credentials. Start reading at [Apply].
package swift

import (
	"fmt"
	"net/netip"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Service is the name of the service in the stack's folder.
const Service = "swift"

// Username is the worker's user, in the form ACCOUNT:USER that clients log in with. It may do anything within its account, and
// no other account exists.
const Username = account + ":" + user

const (
	account = "autopkgtest"
	user    = "worker"
	// device is the one disk, as Swift sees it: a folder below data/.
	device = "d1"
)

// credentialsFile is relative to the stack's folder.
const credentialsFile = "credentials/swift-worker"

// DefaultReserve is little on any disk, and enough to delete, list and log when it is reached.
const DefaultReserve = 256 << 20

// Settings are what an operator may choose.
type Settings struct {
	// Reserve is the room in bytes that the store leaves free on its file system: with less it refuses uploads. Zero
	// means DefaultReserve.
	Reserve uint64

	// Listen is the IP address at which the store is served, to this machine as well. Empty means loopback's. The servers
	// behind the proxy, and memcached, are on loopback in any case: they trust whoever asks them.
	Listen string

	// Readers are further users of the account, USER → password. They can read what an access list gives them and nothing
	// else. Their passwords are letters and digits.
	Readers map[string]config.Secret
}

func (s Settings) reserve() uint64 {
	if s.Reserve == 0 {
		return DefaultReserve
	}
	return s.Reserve
}

// loopback is where the store's processes meet.
const loopback = "127.0.0.1"

func (s Settings) listen() string {
	if s.Listen == "" {
		return loopback
	}
	return s.Listen
}

// Check refuses an address at which clients could not find the store.
func (s Settings) Check() error {
	err := host.CheckListen([]string{s.listen()})
	if address, failed := netip.ParseAddr(s.listen()); err == nil && failed == nil && address.IsUnspecified() {
		err = &host.Problem{
			Kind: host.ErrInvalid, Thing: fmt.Sprintf("the address %q", s.Listen),
			Cause:  "stands for all addresses, and clients are told one",
			WayOut: "Use the address of this machine that its clients can reach",
		}
	}
	return err
}

// Info is what others need to know of the store.
type Info struct {
	Present bool
	// Problem is a sentence that says why the store does not serve as it should; empty if all is well.
	Problem string
	// AuthURL is where clients log in.
	AuthURL string
	// StorageURL is the public base: a container's name is appended to it. Public containers are read there without
	// logging in.
	StorageURL string
	// CredentialsFile is the path of the worker's credentials, readable by the stack's account alone.
	CredentialsFile string
	// Incarnation names this set of data. Another one means that everything that was in the store is gone.
	Incarnation string
}

// info has what is known without looking.
func info(d *host.Directory, s Settings) Info {
	c := where(d, s).credentials()
	return Info{AuthURL: c.AuthURL, StorageURL: c.StorageURL, CredentialsFile: d.Path(credentialsFile)}
}
