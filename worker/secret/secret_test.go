package secret_test

import (
	"bytes"
	"fmt"
	"testing"
	"text/template"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

const password = "hunter2"

// carrier has the secret in the ways in which structs hold it.
type carrier struct {
	Name    string
	Secret  secret.Text
	Pointer *secret.Text
	List    []secret.Text
	Map     map[string]secret.Text
}

func newCarrier() carrier {
	s := secret.Text(password)
	return carrier{Name: "name", Secret: s, Pointer: &s, List: []secret.Text{s}, Map: map[string]secret.Text{"key": s}}
}

func TestTextIsHidden(t *testing.T) {
	t.Parallel()
	s := secret.Text(password)
	for name, value := range map[string]any{
		"secret": s, "pointer": &s, "list": []secret.Text{s}, "any": []any{s}, "map": map[string]secret.Text{"key": s},
		"struct": newCarrier(), "pointer to a struct": &carrier{Secret: s},
	} {
		secrettest.Hides(t, password, name, value)
	}
	secrettest.HidesEncoded(t, password, "secret", s)
	type holder struct{ Secret secret.Text }
	secrettest.HidesEncoded(t, password, "struct", holder{s})
}

func TestTextIsHiddenInTemplates(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := template.Must(template.New("").Parse("{{.}} {{.Secret}} {{printf `%d` .Secret}}")).Execute(&out, newCarrier()); err != nil {
		t.Fatal(err)
	}
	secrettest.HiddenIn(t, password, "template", out.String())
}

func TestReveal(t *testing.T) {
	t.Parallel()
	s := secret.Text(password)
	if s.Reveal() != password || fmt.Sprint(s) != "***" {
		t.Errorf("%q, %s", s.Reveal(), s)
	}
}
