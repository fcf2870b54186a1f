package management

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an answer. A broker with ten thousand queues answers with some 4 MB.
const maxAnswer = 32 << 20

// boundTransport gives a call's requests its context, keeps connections alive, and turns every failure into an *Error.
// rabbit-hole hands back responses whose body nobody closes, so each answer is read here and its connection freed.
type boundTransport struct {
	ctx context.Context
	m   *Client
}

// RoundTrip implements http.RoundTripper.
func (t *boundTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(t.ctx)
	req.Close = false // rabbit-hole asks for one connection per call
	fail := &Error{Endpoint: t.m.endpoint, Username: t.m.username, Method: req.Method, Path: req.URL.EscapedPath()}
	resp, err := t.m.base.RoundTrip(req)
	if err != nil {
		fail.Err = err
		return nil, fail
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close()
	switch {
	case err != nil:
		fail.Err = err
		return nil, fail
	case len(body) > maxAnswer:
		fail.Err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
		return nil, fail
	case resp.StatusCode >= http.StatusMultipleChoices:
		fail.Status, fail.Reason = resp.StatusCode, reason(body)
		return nil, fail
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// reason is what a refusal says of its cause. It is a text or, for a bad pattern, an Erlang term as JSON.
func reason(body []byte) string {
	var refusal struct {
		Error  string          `json:"error"`
		Reason json.RawMessage `json:"reason"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return "" // a proxy's page; the status says enough
	}
	var text string
	if json.Unmarshal(refusal.Reason, &text) == nil && text != "" {
		return text
	}
	if text := badPattern(refusal.Reason); text != "" {
		return text
	}
	if len(refusal.Reason) > 0 && len(refusal.Reason) < 200 {
		return refusal.Error + " " + string(refusal.Reason)
	}
	return refusal.Error
}

// badPattern reads ["invalid_regexp", pattern, [why, where]], whose texts are lists of characters; empty for anything else.
func badPattern(raw json.RawMessage) string {
	var parts, details []json.RawMessage
	var kind string
	var where int
	pattern, why := []int{}, []int{}
	if json.Unmarshal(raw, &parts) != nil || len(parts) != 3 || json.Unmarshal(parts[0], &kind) != nil || kind != "invalid_regexp" ||
		json.Unmarshal(parts[1], &pattern) != nil || json.Unmarshal(parts[2], &details) != nil || len(details) != 2 ||
		json.Unmarshal(details[0], &why) != nil || json.Unmarshal(details[1], &where) != nil {
		return ""
	}
	return fmt.Sprintf("the broker does not understand the pattern %q: %s at character %d", characters(pattern), characters(why), where)
}

func characters(list []int) string {
	var text strings.Builder
	for _, c := range list {
		text.WriteRune(rune(c))
	}
	return text.String()
}

// get calls what rabbit-hole does not know.
func (m *Client) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.endpoint+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(m.username, m.password.Reveal())
	return (&boundTransport{ctx: ctx, m: m}).RoundTrip(request)
}
