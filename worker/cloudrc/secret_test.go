package cloudrc

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretDoesNotPrint tries the ways in which text comes out of a program, with the secret in what carries it.
func TestSecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	secret := Secret("hunter2")
	cloud := Cloud{Password: secret, Token: secret, Credential: Credential{Secret: secret}}
	check := func(what, text string) {
		t.Helper()
		for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), fmt.Sprintf("% x", "hunter2")} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret: %s", what, text)
			}
		}
	}
	for name, value := range map[string]any{
		"secret": secret, "pointer": &secret, "list": []Secret{secret}, "cloud": cloud, "pointer to a cloud": &cloud, "regions": Regions{"r": cloud},
		"credential": cloud.Credential,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%20s", "%.3s", "% x"} {
			check(name+" as "+verb, fmt.Sprintf(verb, value))
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("message", "key", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("message", "key", value)
		check(name+" logged", out.String())
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		check(name+" in JSON", string(encoded))
	}
	encoded, err := xml.Marshal(cloud)
	if err != nil {
		t.Fatal(err)
	}
	check("XML", string(encoded))
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(cloud); err != nil {
		t.Fatal(err)
	}
	check("gob", out.String())
	if secret.Reveal() != "hunter2" || fmt.Sprint(secret) != "***" {
		t.Error(secret)
	}
}
