package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFormsOfAFile: what is written in either form is read back, and the gatekeeper's parser and a shell read theirs.
func TestFormsOfAFile(t *testing.T) {
	t.Parallel()
	b := Broker{Username: "o'brien", Password: "p/@:?#%&$` \"ü'x", Host: "broker", Port: DefaultPort, VHost: "/"}
	for name, key := range map[string]string{"gatekeeper": KeyGatekeeper, "shell": ShellKey(KeyGatekeeper)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(path, b.File(key), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadBroker(path); err != nil || got != b {
				t.Errorf("read back: %v, %v, the same: %v", got.Username, err, got == b)
			}
		})
	}
	line := ""
	for text := range strings.Lines(string(b.File(KeyGatekeeper))) {
		if !strings.HasPrefix(text, "#") { // as the gatekeeper reads its configuration
			line = text
		}
	}
	if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) != "ADT_AMQP" || strings.TrimSpace(value) != b.URI().Reveal() {
		t.Errorf("the gatekeeper reads another account out of the line")
	}
	script := string(b.File(ShellKey(KeyGatekeeper))) + `sh -c 'printf %s "$ADT_AMQP"'`
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil || string(out) != b.URI().Reveal() {
		t.Errorf("a shell reads another account: %v", err)
	}
}
