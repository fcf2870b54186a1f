package management

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// request is a call that rabbit-hole lacks, or whose answer it reads so that what is absent looks like zero.
type request struct {
	method string
	path   string // below /api/, escaped
	query  url.Values
	body   any // sent as JSON unless nil
}

// ask makes such a call, bound and counted as all others, and decodes what comes back, if anything does.
func ask[T any](m *Client, ctx context.Context, r request) (T, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (found T, err error) {
		var content io.Reader
		if r.body != nil {
			encoded, err := json.Marshal(r.body)
			if err != nil {
				return found, err
			}
			content = bytes.NewReader(encoded)
		}
		address := m.endpoint + "/api/" + r.path
		if len(r.query) > 0 {
			address += "?" + r.query.Encode()
		}
		call, err := http.NewRequestWithContext(ctx, r.method, address, content)
		if err != nil {
			return found, err
		}
		call.SetBasicAuth(m.username, m.password.Reveal())
		call.Header.Set("Content-Type", "application/json")
		reply, err := (&http.Client{Transport: &boundTransport{ctx: ctx, m: m}}).Do(call)
		if err != nil {
			return found, err
		}
		defer func() { _ = reply.Body.Close() }()
		if reply.StatusCode == http.StatusNoContent {
			return found, nil
		}
		if err := json.NewDecoder(reply.Body).Decode(&found); err != nil {
			return found, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		return found, nil
	})
}

// inVHost is the path of something in VHost.
func inVHost(kind string, names ...string) string {
	path := kind + "/" + url.PathEscape(VHost)
	for _, name := range names {
		path += "/" + url.PathEscape(name)
	}
	return path
}
