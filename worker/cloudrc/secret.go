package cloudrc

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a password, a token, or what goes with an application credential. Printed in any way, logged or encoded it is "***";
// Reveal gives it out, for the one place that needs it. Keep it in exported fields: package fmt prints others without asking the type.
type Secret string

const masked = "***"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String masks the secret.
func (s Secret) String() string { return masked }

// GoString masks the secret in %#v.
func (s Secret) GoString() string { return `cloudrc.Secret("` + masked + `")` }

// Format masks the secret under every verb; without it %d and %x would show it.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text)
}

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText masks the secret in JSON, XML and every other encoding that asks for text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalBinary masks the secret in gob and the like.
func (s Secret) MarshalBinary() ([]byte, error) { return s.MarshalText() }
