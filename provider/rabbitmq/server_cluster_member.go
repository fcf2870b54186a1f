package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// A member's life. One without data joins whoever of the others is up: RabbitMQ does that by itself, when it starts with nothing,
// and for as long as it takes (files/members.conf). What it does not do is done here: say who begins, have the others forget what
// the member was before its disk was lost, and end what runs apart from them.

// prepare makes a member that has no data ready to start, and says whether it founds the cluster. It holds the stack's lock.
func (n node) prepare(ctx context.Context, d *host.Directory) (founds bool, err error) {
	if incarnation, err := readIncarnation(d); err != nil || incarnation != "" {
		return false, err
	}
	// What rabbitmqctl needs to talk with the others.
	if _, err := d.WriteFile(serviceFile(cookieFile), []byte(n.Cookie.Reveal()), 0o400); err != nil {
		return false, err
	}
	own := NodeName(n.Cluster.Address)
	for _, p := range n.peers(ctx, d) {
		switch {
		case slices.Contains(p.Running, own):
			return false, nil // it came back by itself, and only the note of it is missing
		case !p.founded():
		case slices.Contains(p.Members, own):
			if err := n.anew(ctx, d); err != nil {
				return false, err
			}
			return false, n.forget(ctx, d, p.Address, own)
		default:
			return false, n.anew(ctx, d)
		}
	}
	if n.Cluster.Members[0] != n.Cluster.Address {
		return false, n.anew(ctx, d)
	}
	if !n.Cluster.Found {
		return false, &ClusterError{ClusterMembers, &host.Problem{
			Kind: host.ErrNotReady, Thing: own, Cause: "has lost its data, and no other member of its cluster is up to join",
			WayOut: "Start one of the others; the requests are there. If all of them are lost, say allow_message_loss = true here: the " +
				"cluster begins anew, empty",
		}}
	}
	return true, n.anew(ctx, d)
}

// anew ends a node that was never a member, and removes what it has begun.
func (n node) anew(ctx context.Context, d *host.Directory) error {
	if err := d.Stop(ctx, Service); err != nil && !errors.Is(err, host.ErrAbsent) {
		return err
	}
	return d.Remove(ctx, serviceFile(databaseFolder))
}

// forget has a member forget another one, which must be down.
func (n node) forget(ctx context.Context, d *host.Directory, at, name string) error {
	_, err := control(ctx, d, n, nil, "--node", NodeName(at), "forget_cluster_node", name)
	if err != nil {
		return fmt.Errorf("have %s forget %s: %w", NodeName(at), name, err)
	}
	return nil
}

// settle makes a member that serves a full one: it has the cluster's incarnation, and the others know of nobody who is not among
// the members any more. It needs the administrator.
func (n node) settle(ctx context.Context, d *host.Directory) (incarnation string, err error) {
	m, err := n.client(d)
	if err != nil {
		return "", err
	}
	if err := d.WaitReady(ctx, "the cluster", "rabbitmq", startLimit, func(ctx context.Context) error {
		incarnation, err = m.GlobalParameter(ctx, incarnationParameter)
		if !errors.Is(err, management.ErrNotFound) {
			return err
		}
		if n.Cluster.Members[0] == n.Cluster.Address {
			incarnation = strings.ToLower(rand.Text())
			return m.PutGlobalParameter(ctx, incarnationParameter, incarnation)
		}
		// Another one has begun it at this moment, or the node was reset by somebody and is alone.
		nodes, err := m.Nodes(ctx)
		if err == nil && len(nodes) > 1 {
			err = errors.New("its first member has not begun it yet")
		}
		return err
	}); err != nil {
		return "", err
	}
	if incarnation == "" {
		return "", &ClusterError{ClusterMembers, &host.Problem{
			Kind: host.ErrNotReady, Thing: n.Name, Cause: "runs apart from its cluster",
			WayOut: "Somebody has reset it. Apply again: it joins anew",
		}}
	}
	if _, err := d.WriteFile(serviceFile(incarnationFile), []byte(incarnation+"\n"), 0o600); err != nil {
		return "", err
	}
	return incarnation, n.forgetOthers(ctx, d, m)
}

// forgetOthers has the cluster forget who is no longer among the members, and is down.
func (n node) forgetOthers(ctx context.Context, d *host.Directory, m *management.Client) error {
	nodes, err := m.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, other := range nodes {
		if other.Running || slices.Contains(n.MemberNames(), other.Name) {
			continue
		}
		if err := n.forgettable(ctx, m, nodes, other.Name); err != nil {
			return err
		}
		if err := n.forget(ctx, d, n.Cluster.Address, other.Name); err != nil {
			// Another member may have done it at this moment.
			now, failed := m.Nodes(ctx)
			if failed != nil || slices.ContainsFunc(now, func(there management.Node) bool { return there.Name == other.Name }) {
				return err
			}
		}
	}
	return nil
}

// forgettable refuses to forget a node that has the only copy of something.
func (n node) forgettable(ctx context.Context, m *management.Client, nodes []management.Node, name string) error {
	queues, err := m.Queues(ctx)
	if err != nil {
		return err
	}
	var running, only []string
	for _, node := range nodes {
		if node.Running {
			running = append(running, node.Name)
		}
	}
	for _, queue := range queues {
		if queue.Leader == name && !queue.SafeWithout(name, running) {
			only = append(only, queue.Name)
		}
	}
	if len(only) == 0 {
		return nil
	}
	slices.Sort(only)
	return &ClusterError{ClusterMembers, &host.Problem{
		Kind: host.ErrInvalid, Thing: name,
		Cause:  "is down, no longer among the members, and the only one with what is in " + strings.Join(only, ", "),
		WayOut: "Start it once more, as a member. If it is lost, and these requests with it: rabbitmqctl forget_cluster_node " + name,
	}}
}

// Leave takes a member out of its cluster, before its service is withdrawn. A member that is alone, or not up, is not taken out of
// anything: then the others forget it when they are told that it is no longer a member.
func Leave(ctx context.Context, d *host.Directory) error {
	n, err := configuredNode(d)
	if err != nil || n.Cluster == nil || !HoldsData(d) {
		return err
	}
	m, err := n.client(d)
	if err != nil {
		return nil //nolint:nilerr // who cannot be asked cannot leave
	}
	if running, err := m.RunningNodes(ctx); err != nil || len(running) < 2 {
		return nil //nolint:nilerr // nor who is not up
	}
	_ = m.RemoveUser(ctx, m.Username()) // its password goes with the folder; a user who is left is no harm
	for _, command := range []string{"stop_app", "reset"} {
		if _, err := control(ctx, d, n, nil, command); err != nil {
			return fmt.Errorf("leave the cluster: %w", err)
		}
	}
	return nil
}

// client is the management API of the node, as its administrator.
func (n node) client(d *host.Directory) (*management.Client, error) {
	administrator, err := config.ReadBroker(d.Path(administratorFile))
	if err != nil {
		return nil, err
	}
	return management.New(managementURL(d), administrator.Username, administrator.Password)
}

// awaitMember is awaitReady for a member, which looks now and then why it takes so long.
func (n node) awaitMember(ctx context.Context, d *host.Directory, i Info) error {
	begin := time.Now()
	looked := begin
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	said := ""
	err := d.WaitReady(within, "the broker", "rabbitmq", startLimit, func(ctx context.Context) error {
		err := answers(ctx, i)
		if err == nil {
			return nil
		}
		if time.Since(looked) > lookAfter {
			looked = time.Now()
			text, lasting := n.trouble(within, d)
			if said = text; lasting != nil {
				cancel(lasting)
			}
		}
		if said != "" {
			err = fmt.Errorf("%s: %w", said, err)
		}
		return err
	})
	var lasting *ClusterError
	if err != nil && errors.As(context.Cause(within), &lasting) {
		return lasting
	}
	return err
}

// lookAfter is more than an idle machine needs to start a node.
const lookAfter = 20 * time.Second

// memberProblem is what is wrong with the node as a member, beside what is wrong with it alone.
func (n node) memberProblem(ctx context.Context, d *host.Directory, alone string) string {
	if alone != "" {
		text, lasting := n.trouble(ctx, d)
		if lasting != nil {
			text = lasting.Error()
		}
		if text == "" {
			return alone
		}
		return alone + "; " + text
	}
	m, err := n.client(d)
	if err != nil {
		return err.Error()
	}
	members, err := m.Nodes(ctx)
	if err != nil {
		return err.Error()
	}
	for _, member := range members {
		_, wanted := slices.BinarySearch(slices.Sorted(slices.Values(n.MemberNames())), member.Name)
		switch {
		case member.Name == n.Name && len(member.Apart) > 0:
			return n.Name + " and " + strings.Join(member.Apart, ", ") + " have been apart, and each may have confirmed what the other " +
				"does not have: end the process rabbitmq of one of them, which takes over from the other what that has"
		case !wanted && !member.Running:
			return member.Name + " is down and still in the cluster, though not among the members; an apply has the cluster forget it"
		}
	}
	return ""
}
