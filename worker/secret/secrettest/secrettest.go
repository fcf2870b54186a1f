// Package secrettest tries whether what carries a secret shows it.
package secrettest

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// verbs are all of package fmt's, in several forms: %d and %x reach what others mask.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%20s", "%.3s", "% x"}

// Hides tries the ways in which text comes out of a program: none may show the secret that is in the value.
func Hides(t testing.TB, secret, name string, value any) {
	t.Helper()
	for _, verb := range verbs {
		HiddenIn(t, secret, name+" as "+verb, fmt.Sprintf(verb, value))
	}
	HiddenIn(t, secret, name+" printed", fmt.Sprint(value))
	HiddenIn(t, secret, name+" in an error", fmt.Errorf("failed with %v: %w", value, errors.New("cause")).Error())
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("message", "key", value)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("message", "key", value)
	HiddenIn(t, secret, name+" logged", out.String())
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	HiddenIn(t, secret, name+" in JSON", string(encoded))
}

// HidesEncoded is Hides for the encodings that do not take every value.
func HidesEncoded(t testing.TB, secret, name string, value any) {
	t.Helper()
	encoded, err := xml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	HiddenIn(t, secret, name+" in XML", string(encoded))
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	HiddenIn(t, secret, name+" in gob", out.String())
}

// HiddenIn fails the test if a text shows the secret, as it is or in hexadecimal digits.
func HiddenIn(t testing.TB, secret, what, text string) {
	t.Helper()
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret)} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", what, text)
		}
	}
}
