// Package secret is the type of all passwords, tokens and keys, so that none of them is printed by accident.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Text is a secret, or text that holds one. Printed in any way, logged or encoded it is "***"; Reveal gives it out, for the one
// place that needs it. Keep it in exported fields, and out of the keys of maps: packages fmt and json print those without asking
// the type.
type Text string

const masked = "***"

// Reveal returns the secret itself.
func (s Text) Reveal() string { return string(s) }

// String masks the secret.
func (s Text) String() string { return masked }

// GoString masks the secret in %#v.
func (s Text) GoString() string { return `secret.Text("` + masked + `")` }

// Format masks the secret under every verb; without it %d and %x would show it.
func (s Text) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text)
}

// LogValue masks the secret in logs.
func (s Text) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText masks the secret in JSON, XML and every other encoding that asks for text.
func (s Text) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalBinary masks the secret in gob and the like.
func (s Text) MarshalBinary() ([]byte, error) { return s.MarshalText() }
