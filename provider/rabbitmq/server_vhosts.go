package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// A node serves, and a virtual host on it does not, in two cases. One whose processes have died too often stays down. And of members
// that are made at the same time, each makes the virtual host unless it is there. Who makes it starts it on itself and on those that
// have finished their own start. A member that is still about to, and has looked for virtual hosts already, is left out, also by
// itself: what is there it does not start. Neither heals before the node starts anew.

// vhostPatience is how long a virtual host must have been down before it is started, and again before it is tried once more. In a much
// shorter time RabbitMQ restarts one that has died, and must not be interfered with.
const vhostPatience = 2 * time.Second

// vhostHost is a node as far as its virtual hosts are concerned.
type vhostHost interface {
	StoppedVHosts(ctx context.Context, node string) ([]string, error)
	StartVHost(ctx context.Context, name, node string) error
}

// vhostStarter brings up what stays down on a node.
type vhostStarter struct {
	m     vhostHost
	node  string
	since map[string]time.Time // when each was seen down first, or was started
	last  map[string]error     // what the last start of each said
}

// check is nil if all virtual hosts run. Otherwise it starts those that have been down for long enough.
func (s *vhostStarter) check(ctx context.Context) error {
	stopped, err := s.m.StoppedVHosts(ctx, s.node)
	if err != nil {
		return err
	}
	down := map[string]time.Time{}
	for _, name := range stopped {
		since, known := s.since[name]
		switch {
		case !known:
			since = time.Now()
		case time.Since(since) >= vhostPatience:
			s.last[name] = s.m.StartVHost(ctx, name, s.node)
			since = time.Now()
		}
		down[name] = since
	}
	s.since = down
	if len(stopped) == 0 {
		return nil
	}
	text := stoppedText(stopped, s.node)
	for _, name := range stopped {
		if err := s.last[name]; err != nil {
			return fmt.Errorf("%s, and cannot be started: %w", text, err)
		}
	}
	return errors.New(text)
}

// ensureVHosts has every virtual host run on the node. It needs the administrator.
func ensureVHosts(ctx context.Context, d *host.Directory, n node, i Info, password config.Secret) error {
	m, err := management.New(i.ManagementURL, i.Administrator, password)
	if err != nil {
		return err
	}
	s := &vhostStarter{m: m, node: n.Name, last: map[string]error{}}
	return d.WaitReady(ctx, "a virtual host of "+n.Name, "rabbitmq", startLimit, s.check)
}

func stoppedText(names []string, node string) string {
	if len(names) == 1 {
		return "the virtual host " + names[0] + " does not run on " + node
	}
	return "the virtual hosts " + strings.Join(names, ", ") + " do not run on " + node
}
