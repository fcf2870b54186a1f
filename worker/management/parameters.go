package management

import (
	"context"
	"net/http"
	"net/url"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// GlobalParameter is a text that all nodes of the broker's cluster keep, whatever the virtual host. A missing one is ErrNotFound.
func (m *Client) GlobalParameter(ctx context.Context, name string) (string, error) {
	found, err := ask[struct{ Value string }](m, ctx, request{method: http.MethodGet, path: "global-parameters/" + url.PathEscape(name)})
	return found.Value, err
}

// PutGlobalParameter makes or replaces it.
func (m *Client) PutGlobalParameter(ctx context.Context, name, value string) error {
	return m.call(ctx, func(c *rabbithole.Client) error { return closing(c.PutGlobalParameter(name, value)) })
}
