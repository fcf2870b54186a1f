package request

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Body returns the message body of the request: the same bytes for the same request, keys sorted. Parse gives the request
// back. It fails for a request that Parse would refuse.
func (r Request) Body() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	parameters := map[string]any{}
	for key, raw := range r.Extra {
		if known[key] {
			return nil, fmt.Errorf("request for %s: the extra parameter %q has a field of its own", r.Package, key)
		}
		parameters[key] = raw
	}
	for _, field := range r.texts() {
		if *field.value != "" {
			parameters[field.key] = *field.value
		}
	}
	for _, field := range r.lists() {
		if len(*field.values) > 0 {
			parameters[field.key] = *field.values
		}
	}
	if r.AllProposed {
		parameters[keyAllProposed] = "1"
	}

	var body bytes.Buffer
	body.WriteString(r.Package)
	body.WriteByte('\n')
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(parameters); err != nil {
		return nil, fmt.Errorf("request for %s: write the parameters: %w", r.Package, err)
	}
	body.Truncate(body.Len() - 1) // the encoder's newline
	if body.Len() > MaxBody {
		return nil, malformed("%d bytes, at most %d are accepted", body.Len(), MaxBody)
	}
	return body.Bytes(), nil
}
