package management

import (
	"context"
	"net/http"
	"net/url"
)

// Node is a node of the broker's cluster; a broker alone is one.
type Node struct {
	Name    string   `json:"name"`
	Running bool     `json:"running"`
	Apart   []string `json:"partitions"` // nodes from which it was cut off, and which both went on
}

// Nodes returns the nodes that the broker's cluster has, also those that are down.
func (m *Client) Nodes(ctx context.Context) ([]Node, error) {
	return ask[[]Node](m, ctx, request{
		method: http.MethodGet, path: "nodes", query: url.Values{"columns": {"name,running,partitions"}},
	})
}

// RunningNodes returns the names of those that are up.
func (m *Client) RunningNodes(ctx context.Context) ([]string, error) {
	nodes, err := m.Nodes(ctx)
	var running []string
	for _, node := range nodes {
		if node.Running {
			running = append(running, node.Name)
		}
	}
	return running, err
}
