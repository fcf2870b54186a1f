package config

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
	"text/template"
)

const password = "hunter2"

// carrier has the secret in the ways in which structs hold it.
type carrier struct {
	Name    string
	Secret  Secret
	Pointer *Secret
	List    []Secret
	Map     map[string]Secret
	Broker  Broker
	Store   Store
}

func newCarrier() carrier {
	s := Secret(password)
	return carrier{
		Name: "name", Secret: s, Pointer: &s, List: []Secret{s}, Map: map[string]Secret{"key": s},
		Broker: Broker{Username: "user", Password: s, Host: "host"},
		Store:  Store{Username: "user", Password: s},
	}
}

// TestSecretDoesNotPrint tries every way in which text comes out of a program.
func TestSecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	secret := Secret(password)
	values := map[string]any{
		"secret": secret, "pointer": &secret, "struct": newCarrier(), "list": []Secret{secret}, "any": []any{secret},
		"map": map[string]Secret{"key": secret}, "broker": newCarrier().Broker, "uri": newCarrier().Broker.URI(),
		"operator": Operator{BrokerURI: secret},
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%20s", "%.3s", "% x"} {
			noSecret(t, name+" as "+verb, fmt.Sprintf(verb, value))
		}
		noSecret(t, name+" printed", fmt.Sprint(value))
		noSecret(t, name+" in an error", fmt.Errorf("failed with %v: %w", value, errors.New("cause")).Error())

		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("message", "key", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("message", "key", value)
		noSecret(t, name+" logged", out.String())
	}
}

func TestSecretDoesNotEncode(t *testing.T) {
	t.Parallel()
	text, err := Secret(password).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, "text", string(text))

	encoded, err := json.Marshal(newCarrier())
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, "JSON", string(encoded))

	encoded, err = xml.Marshal(newCarrier().Broker)
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, "XML", string(encoded))

	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(newCarrier().Broker); err != nil {
		t.Fatal(err)
	}
	noSecret(t, "gob", out.String())

	out.Reset()
	if err := template.Must(template.New("").Parse("{{.}} {{.Secret}} {{printf `%d` .Secret}}")).Execute(&out, newCarrier()); err != nil {
		t.Fatal(err)
	}
	noSecret(t, "template", out.String())
}

func noSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range []string{password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password), fmt.Sprintf("% x", password)} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", what, text)
		}
	}
}

func TestSecretReveals(t *testing.T) {
	t.Parallel()
	if got := Secret(password).Reveal(); got != password {
		t.Errorf("%q", got)
	}
}
