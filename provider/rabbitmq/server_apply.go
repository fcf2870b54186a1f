package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// incarnationFile lies in the node's database, so that it goes when that goes, also by `rabbitmqctl reset`. It is
// written once the node runs: a node that finds files where it expects no database would not make one.
const incarnationFile = databaseFolder + "/autopkgtest-cloud-incarnation"

// Apply makes a node exist and serve in the stack's folder. It may be called again at any time, also after it was
// interrupted or after parts of the node were destroyed, and changes only what differs: an undamaged node is not
// touched. A lost credentials file gives the administrator a new password, and nobody else; a lost database gives a new
// incarnation.
func Apply(ctx context.Context, d *host.Directory, s Settings) (Info, error) {
	s, err := s.filled()
	if err != nil {
		return Info{}, err
	}
	if err := CheckInstalled(); err != nil {
		return Info{}, err
	}
	i := info(d, s)
	// A member that serves may be restarted: one after the other. One that does not may be just what the others wait for.
	if s.Cluster != nil && answers(ctx, i) == nil {
		release, err := s.Turn(ctx)
		if err != nil {
			return Info{}, err
		}
		defer release()
	}
	password, n, err := converge(ctx, d, s, i)
	if err != nil {
		return Info{}, err
	}
	if err := n.awaitReady(ctx, d, i); err != nil {
		return Info{}, err
	}
	if i.DeliveryTimeout, err = finish(ctx, d, n, i, password); err != nil {
		return Info{}, err
	}
	if n.Cluster == nil {
		i.Incarnation, err = markDatabase(d)
	} else {
		i.Incarnation, err = finishMember(ctx, d, n)
	}
	if err != nil {
		return Info{}, err
	}
	i.Present, i.Authority = true, string(n.Material.Authority)
	return i, nil
}

// finishMember makes the node a full member, and returns the cluster's incarnation.
func finishMember(ctx context.Context, d *host.Directory, n node) (incarnation string, err error) {
	if incarnation, err = n.settle(ctx, d); err != nil {
		return "", err
	}
	if n.Founds {
		// If it loses its data later, it shall not begin another cluster.
		n.Founds = false
		if err := put(ctx, d, n); err != nil {
			return "", err
		}
	}
	return incarnation, n.awaitSynchronised(ctx, d)
}

// put puts files and processes in place, under the stack's lock.
func put(ctx context.Context, d *host.Directory, n node) error {
	unlock, err := d.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	definition, err := definition(n)
	if err == nil {
		_, err = d.Converge(ctx, definition)
	}
	return err
}

// finish does what takes a node that runs: the administrator and, as that, the virtual hosts; the certificate; and reading back the
// delivery timeout. Most go through rabbitmqctl, which needs half a second to start, so they go together.
func finish(ctx context.Context, d *host.Directory, n node, i Info, password config.Secret) (time.Duration, error) {
	var timeout time.Duration
	together, ctx := errgroup.WithContext(ctx)
	together.Go(func() error {
		if err := ensureAdministrator(ctx, d, n, i, password); err != nil {
			return err
		}
		return ensureVHosts(ctx, d, n, i, password)
	})
	together.Go(func() error { return ensureCertificate(ctx, d, n, i) })
	together.Go(func() (err error) {
		timeout, err = nodeDeliveryTimeout(ctx, d, n)
		return err
	})
	if err := together.Wait(); err != nil {
		return 0, err
	}
	if timeout != n.DeliveryTimeout {
		return 0, &host.Problem{
			Kind: host.ErrInvalid, Thing: "the broker",
			Cause: fmt.Sprintf("runs with a delivery timeout of %s, not with %s from %s", timeout, n.DeliveryTimeout,
				n.path("etc/rabbitmq.conf")),
			WayOut: "Something changed it in the running node; end the process rabbitmq, which comes back with the configured one",
		}
	}
	return timeout, nil
}

// Withdraw ends the node and removes it with everything in it. A node that is not there is no error.
func Withdraw(ctx context.Context, d *host.Directory) error {
	if err := d.Withdraw(ctx, Service); err != nil {
		return err
	}
	return d.Remove(ctx, administratorFile)
}

// Unload ends the node and removes its installation, but not its data, its certificates and its administrator's credentials:
// the next Apply goes on with users, queues and persistent messages, and clients go on trusting it. A node that is not there
// is no error.
func Unload(ctx context.Context, d *host.Directory) error {
	return d.Withdraw(ctx, Service, dataFolder, tlsFolder)
}

// Kept says how others will reach a node that an Apply with these settings makes of the data that are there. Without such
// data it reports false.
func Kept(d *host.Directory, s Settings) (Info, bool, error) {
	s, err := s.filled()
	if err != nil {
		return Info{}, false, err
	}
	i := info(d, s)
	i.Incarnation, err = readIncarnation(d)
	return i, err == nil && i.Incarnation != "", err
}

// converge puts files and processes in place. It holds the stack's lock, so that two calls at a time do not make up two
// passwords; the wait that follows it is long and needs no lock.
func converge(ctx context.Context, d *host.Directory, s Settings, i Info) (config.Secret, node, error) {
	unlock, err := d.Lock(ctx)
	if err != nil {
		return "", node{}, err
	}
	defer unlock()
	if err := checkRoom(d, s); err != nil {
		return "", node{}, err
	}
	if err := where(d, s, i).checkData(d); err != nil {
		return "", node{}, err
	}
	password, n, err := remembered(d, s, i)
	if err != nil {
		return "", node{}, err
	}
	if n.Cluster != nil {
		if n.Founds, err = n.prepare(ctx, d); err != nil {
			return "", node{}, err
		}
	}
	// A node whose database was taken away while it ran goes on in memory, as if nothing had happened, and loses all of
	// it at its end. It is stopped, so that it begins anew at once.
	if !HoldsData(d) {
		if err := d.Stop(ctx, Service); err != nil {
			return "", node{}, err
		}
	}
	// The database holds the hashes of passwords.
	if err := d.MkdirAll(serviceFile("data"), 0o700); err != nil {
		return "", node{}, err
	}
	definition, err := definition(n)
	if err != nil {
		return "", node{}, err
	}
	_, err = d.Converge(ctx, definition)
	return password, n, err
}

// remembered says what runs where, with the secrets that earlier calls made up, and makes up those that are missing.
// A new password is written before the node learns it: had we been interrupted in between, the next call would read it.
func remembered(d *host.Directory, s Settings, i Info) (config.Secret, node, error) {
	password, _, err := readAdministrator(d, i.Administrator)
	if err != nil {
		return "", node{}, err
	}
	if password == "" {
		password = config.NewSecret()
	}
	file := config.Broker{Username: i.Administrator, Password: password, Host: i.Host, Port: i.Port, VHost: management.VHost}
	if _, err := d.WriteFile(administratorFile, file.File(config.KeyURI), 0o600); err != nil {
		return "", node{}, err
	}
	n := where(d, s, i)
	if s.TLS != nil {
		if n.Material, err = wantedMaterial(d, s, time.Now()); err != nil {
			return "", node{}, err
		}
	}
	if n.Cookie, err = readCookie(d); err != nil {
		return "", node{}, err
	}
	if s.Cluster != nil {
		if known, err := readIncarnation(d); err != nil || known == "" {
			n.Cookie = "" // of a node that was never a member
		}
		n.Cookie, err = s.Cluster.agreeOnCookie(n.Cookie)
		return password, n, err
	}
	if n.Cookie == "" {
		n.Cookie = config.NewSecret()
	}
	return password, n, nil
}

// checkData refuses data that were written by a node of another name: it would not start with them.
func (n node) checkData(d *host.Directory) error {
	content, err := d.ReadFile(serviceFile(databaseFolder + "/cluster_nodes.config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || namesNode(string(content), n.Name) {
		return err
	}
	return &ClusterError{ClusterAddress, &host.Problem{
		Kind: host.ErrInvalid, Thing: "the broker in " + n.Folder, Cause: "has data, and they are not those of " + n.Name,
		WayOut: "A broker that was alone does not become a member of a cluster, nor a member one alone, and none gets another address: " +
			"make the new ones in other folders, let the requests here be finished, and destroy this one",
	}}
}

// namesNode says whether a list of nodes has one of this name. That of 10.0.0.1 is the beginning of that of 10.0.0.12.
func namesNode(list, name string) bool {
	names := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune("{}[]', \n", r) })
	return slices.Contains(names, name)
}

// where says what the folder and the settings decide.
func where(d *host.Directory, s Settings, i Info) node {
	addresses := s.Listen
	if len(addresses) == 0 {
		addresses = []string{i.Host}
	}
	n := node{
		Folder:          d.ServicePath(Service),
		Name:            nodeName,
		Administrator:   s.administrator(),
		Cluster:         s.Cluster,
		Plain:           endpoints(addresses, i.Port),
		Management:      d.Port(host.RoleManagement),
		Distribution:    d.Port(host.RoleDistribution),
		EPMD:            d.Port(host.RoleEPMD),
		DeliveryTimeout: s.DeliveryTimeout,
		Memory:          s.Memory,
		Reserve:         s.Reserve,
		Log:             s.Log,
	}
	if s.Cluster != nil {
		n.Name = NodeName(s.Cluster.Address)
	}
	if s.TLS != nil {
		n.Secure = endpoints(addresses, s.TLS.Port)
		if s.TLS.Management != "" {
			n.SecureManagement = &endpoint{s.TLS.Management, s.TLS.ManagementPort}
		}
	}
	return n
}

// readCookie is empty if there is none.
func readCookie(d *host.Directory) (config.Secret, error) {
	content, err := d.ReadFile(serviceFile(cookieFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return config.Secret(strings.TrimSpace(string(content))), nil
}

// readIncarnation is empty if there is none.
func readIncarnation(d *host.Directory) (string, error) {
	content, err := d.ReadFile(serviceFile(incarnationFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return strings.TrimSpace(string(content)), nil
}

func markDatabase(d *host.Directory) (string, error) {
	id, err := readIncarnation(d)
	if err != nil || id != "" {
		return id, err
	}
	id = strings.ToLower(rand.Text())
	_, err = d.WriteFile(serviceFile(incarnationFile), []byte(id+"\n"), 0o600)
	return id, err
}

// HoldsData says whether there is anything that would be lost with the node: whether it has a database. It depends on
// nothing but the data themselves.
func HoldsData(d *host.Directory) bool {
	return d.Exists(serviceFile(databaseFolder + "/schema.DAT"))
}

// Begun says whether an Apply has begun the node and none has finished it: nobody could ever log in to it.
func Begun(d *host.Directory) bool {
	id, err := readIncarnation(d)
	return err == nil && id == ""
}

// serviceFile is the name of one of the service's files, relative to the stack's folder.
func serviceFile(name string) string { return "services/" + Service + "/" + name }
