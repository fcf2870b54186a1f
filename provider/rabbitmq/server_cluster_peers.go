package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// incarnationParameter is the cluster's own note of its incarnation. Who has it is, or was, a member; who has it not is a node that
// has just been made.
const incarnationParameter = "autopkgtest_cloud_incarnation"

// peer is what a member says of its cluster.
type peer struct {
	Address     string
	Incarnation string   // empty if the cluster was not founded by us
	Members     []string // names of nodes
	Running     []string // of these
	Versions    map[string]string
	Err         error // why it says nothing
}

func (p peer) founded() bool { return p.Err == nil && p.Incarnation != "" }

// peers asks the other members, all at a time.
func (n node) peers(ctx context.Context, d *host.Directory) []peer {
	found := make([]peer, len(n.Cluster.others()))
	var together errgroup.Group
	for i, address := range n.Cluster.others() {
		together.Go(func() error {
			found[i] = n.ask(ctx, d, address)
			return nil
		})
	}
	_ = together.Wait() // each has its own error
	return found
}

// ask asks a member from outside, as long as the node itself does not serve.
func (n node) ask(ctx context.Context, d *host.Directory, address string) peer {
	p := peer{Address: address}
	var status struct {
		Disk     []string `json:"disk_nodes"`
		Running  []string `json:"running_nodes"`
		Versions map[string]struct {
			RabbitMQ string `json:"rabbitmq_version"`
		} `json:"versions"`
	}
	if p.Err = n.askFor(ctx, d, address, &status, "cluster_status"); p.Err != nil {
		return p
	}
	p.Members, p.Running, p.Versions = status.Disk, status.Running, map[string]string{}
	for name, version := range status.Versions {
		p.Versions[name] = version.RabbitMQ
	}
	var parameters []struct{ Name, Value string }
	if p.Err = n.askFor(ctx, d, address, &parameters, "list_global_parameters"); p.Err != nil {
		return p
	}
	for _, parameter := range parameters {
		if parameter.Name == incarnationParameter {
			p.Incarnation = strings.Trim(parameter.Value, `"`)
		}
	}
	return p
}

func (n node) askFor(ctx context.Context, d *host.Directory, address string, into any, command string) error {
	answer, err := control(ctx, d, n, nil, "--node", NodeName(address), "--timeout", "15", "--formatter", "json", command)
	if err != nil {
		return fmt.Errorf("ask %s: %w", NodeName(address), err)
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		return fmt.Errorf("ask %s: %w", NodeName(address), err)
	}
	return nil
}

// trouble says why a member that waits for the others gets nowhere; the second result is true where waiting does not help. It
// is asked of a node that does not serve, so it takes its time.
func (n node) trouble(ctx context.Context, d *host.Directory) (text string, lasting error) {
	wrong := func(field ClusterField, thing, cause, wayOut string) error {
		return &ClusterError{field, &host.Problem{Kind: host.ErrInvalid, Thing: thing, Cause: cause, WayOut: wayOut}}
	}
	own := NodeName(n.Cluster.Address)
	var silent []string
	for _, p := range n.peers(ctx, d) {
		name := NodeName(p.Address)
		switch {
		case p.Err == nil && HoldsData(d) && !slices.Contains(p.Members, own) && len(p.Members) > 0 && p.founded():
			return "", wrong(ClusterMembers, own, "was a member, and "+name+" has forgotten it",
				"What it holds is of the time before. Remove "+n.path(dataFolder)+" when nothing in it is needed, and apply again: "+
					"it joins anew")
		case p.Err == nil && !sameSeries(p.Versions[name], installedVersion()):
			return "", wrong(ClusterMembers, name,
				fmt.Sprintf("runs RabbitMQ %s, and %s is installed here", p.Versions[name], installedVersion()),
				"Members have the same version but for its last part: install that here")
		case p.Err != nil && n.listensThere(ctx, p.Address) && n.refused(ctx, d, p.Address):
			return "", wrong(ClusterCookie, name, "answers and does not take the cookie of "+n.Cluster.CookieFile,
				"Put the cookie of the members into that file, and remove "+n.path(cookieFile)+" of this one")
		case p.Err != nil:
			silent = append(silent, name)
		}
	}
	if len(silent) == 0 {
		return "", nil
	}
	return strings.Join(silent, " and ") + " " + isOrAre(silent) + " not up: a member serves when most of them are, and after all were " +
		"down it waits for the one that was up last; start the others, or see the manual if one is lost", nil
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}

// listensThere says whether somebody listens where a member should.
func (n node) listensThere(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(n.Cluster.Port)))
	return err == nil && connection.Close() == nil
}

// refused says whether a member does not let us in: whoever is let in can ask for its name, whatever state it is in.
func (n node) refused(ctx context.Context, d *host.Directory, address string) bool {
	_, err := control(ctx, d, n, nil, "--node", NodeName(address), "--timeout", "15", "eval", "node().")
	return err != nil && ctx.Err() == nil
}

// sameSeries says whether two versions may be in one cluster: 3.10.8 and 3.10.25 may. What is not known is let through; the
// nodes themselves refuse.
func sameSeries(one, other string) bool {
	a, errA := ParseVersion(one)
	b, errB := ParseVersion(other)
	return errA != nil || errB != nil || a == b
}

// turns has a lock for each cluster of this process.
var turns = struct {
	guard chan struct{}
	locks map[string]chan struct{}
}{guard: make(chan struct{}, 1), locks: map[string]chan struct{}{}}

// Turn waits until no other member of the cluster is being restarted or removed by this process. Without a cluster there is
// nothing to wait for.
func (s Settings) Turn(ctx context.Context) (release func(), err error) {
	if s.Cluster == nil {
		return func() {}, nil
	}
	turns.guard <- struct{}{}
	lock := turns.locks[s.Cluster.CookieFile]
	if lock == nil {
		lock = make(chan struct{}, 1)
		turns.locks[s.Cluster.CookieFile] = lock
	}
	<-turns.guard
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait until another member of the cluster is ready: %w", errors.Join(context.Cause(ctx), ctx.Err()))
	}
}
