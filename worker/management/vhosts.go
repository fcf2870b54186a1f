package management

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// HasVHost says whether VHost is there. Without it every other call answers ErrNotFound.
func (m *Client) HasVHost(ctx context.Context) (bool, error) {
	err := m.call(ctx, func(c *rabbithole.Client) error {
		_, err := c.GetVhost(VHost)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// MakeVHost makes VHost, empty. That it is there already is success and changes nothing.
func (m *Client) MakeVHost(ctx context.Context) error {
	there, err := m.HasVHost(ctx)
	if err != nil || there {
		return err
	}
	return m.call(ctx, func(c *rabbithole.Client) error { return closing(c.PutVhost(VHost, rabbithole.VhostSettings{})) })
}

// vhostRuns is what a broker says of a virtual host that works on a node.
const vhostRuns = "running"

// StoppedVHosts names the virtual hosts, VHost or not, that do not run on a node, which must be the one that m talks with: a client
// that logs in there is refused, and no queue can be declared on it. While all run the node asks no other one, so that one that
// hangs does not matter.
func (m *Client) StoppedVHosts(ctx context.Context, node string) ([]string, error) {
	failed := m.call(ctx, func(c *rabbithole.Client) error {
		_, err := c.HealthCheckVirtualHosts()
		return err
	})
	var problem *Error
	if !errors.As(failed, &problem) || problem.Status != http.StatusServiceUnavailable && problem.Status != http.StatusNotFound {
		return nil, failed
	}
	if problem.Status == http.StatusNotFound {
		failed = nil // RabbitMQ before 3.8.10 has no such check
	}
	all, err := ask[[]struct {
		Name  string            `json:"name"`
		State map[string]string `json:"cluster_state"` // by node
	}](m, ctx, request{method: http.MethodGet, path: "vhosts", query: url.Values{"columns": {"name,cluster_state"}}})
	if err != nil {
		return nil, err
	}
	var stopped []string
	for _, vhost := range all {
		if vhost.State[node] != vhostRuns {
			stopped = append(stopped, vhost.Name)
		}
	}
	if len(stopped) == 0 {
		return nil, failed // one is about to end, or has just come up
	}
	slices.Sort(stopped)
	return stopped, nil
}

// StartVHost starts a virtual host on a node, and returns when its queues are recovered there. One that runs is success. A broker
// that is just about to start it by itself must not be told to: it would start it twice.
func (m *Client) StartVHost(ctx context.Context, name, node string) error {
	_, err := ask[struct{}](m, ctx, request{
		method: http.MethodPost, path: "vhosts/" + url.PathEscape(name) + "/start/" + url.PathEscape(node),
	})
	return err
}
