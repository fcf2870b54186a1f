package rabbitmq

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
)

func exampleNode() node {
	return node{
		Folder: "/srv/stack/services/rabbitmq", Name: nodeName, Administrator: "admin", Plain: []endpoint{{"127.77.0.30", 5672}}, Management: 20481, Distribution: 20482, EPMD: 20483,
		Cookie: "GENERATEDCOOKIE", DeliveryTimeout: 48 * time.Hour, Memory: DefaultWatermark, Reserve: DefaultReserve,
	}
}

func exampleDefinition(t *testing.T, n node) host.Service {
	t.Helper()
	s, err := definition(n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServerDefinitionIsGolden(t *testing.T) {
	t.Parallel()
	s := exampleDefinition(t, exampleNode())
	for _, file := range s.Files {
		if !file.Secret {
			hosttest.Golden(t, filepath.Join("testdata", "server", filepath.Base(file.Name)), file.Content)
		}
	}
	var text strings.Builder
	for _, p := range s.Processes {
		fmt.Fprintf(&text, "%s\n  %s\n  listens: %s\n", p.Name, strings.Join(p.Argv, " "), strings.Join(p.Listen, " "))
		for _, variable := range p.Env {
			fmt.Fprintf(&text, "  %s\n", variable)
		}
	}
	hosttest.Golden(t, filepath.Join("testdata", "server", "processes"), []byte(text.String()))
}

// Whatever is named in a file of definitions is put back at every start of the node: a user there would lose each later
// password, and guest's absence is what a file of definitions is for.
func TestDefinitionsNameNoUser(t *testing.T) {
	t.Parallel()
	s := exampleDefinition(t, exampleNode())
	found := false
	for _, file := range s.Files {
		if file.Name != "etc/definitions.json" {
			continue
		}
		found = true
		var loaded map[string][]map[string]any
		if err := json.Unmarshal(file.Content, &loaded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]map[string]any{"vhosts": {{"name": "/"}}}, loaded); diff != "" {
			t.Errorf("definitions (-want +got):\n%s", diff)
		}
	}
	if !found {
		t.Error("no definitions: RabbitMQ would make the user guest")
	}
}

func TestServerShowsNoSecret(t *testing.T) {
	t.Parallel()
	n := exampleNode()
	for _, file := range exampleDefinition(t, n).Files {
		if holds := strings.Contains(string(file.Content), n.Cookie.Reveal()); holds != file.Secret {
			t.Errorf("%s: holds the cookie: %v, marked as secret: %v", file.Name, holds, file.Secret)
		}
		if file.Secret && file.Perm != 0o400 {
			t.Errorf("%s has mode %04o; Erlang wants its cookie readable by the owner alone", file.Name, file.Perm)
		}
	}
	for _, process := range exampleDefinition(t, n).Processes {
		if text := fmt.Sprint(process); strings.Contains(text, n.Cookie.Reveal()) {
			t.Errorf("process %s shows the cookie to everybody on the machine", process.Name)
		}
	}
}

// TestNothingOfTheMachinesConfiguration lists every variable that has a default below /etc/rabbitmq or /var.
func TestNothingOfTheMachinesConfiguration(t *testing.T) {
	t.Parallel()
	n := exampleNode()
	set := map[string]string{}
	for _, variable := range n.environment() {
		name, value, _ := strings.Cut(variable, "=")
		set[name] = value
	}
	for _, name := range []string{
		"HOME", "RABBITMQ_CONF_ENV_FILE", "RABBITMQ_CONFIG_FILE", "RABBITMQ_CONFIG_FILES", "RABBITMQ_ADVANCED_CONFIG_FILE",
		"RABBITMQ_ENABLED_PLUGINS_FILE", "RABBITMQ_MNESIA_BASE", "RABBITMQ_LOG_BASE",
	} {
		if !strings.HasPrefix(set[name], n.Folder) {
			t.Errorf("%s = %q, which is not below %s", name, set[name], n.Folder)
		}
	}
}
