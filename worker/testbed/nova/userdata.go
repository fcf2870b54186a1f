package nova

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// cloudConfig is what cloud-init is told. Other accounts of the project can read it.
type cloudConfig struct {
	// ManageHosts has the server's own name resolve, which sudo and many tests want.
	ManageHosts bool `yaml:"manage_etc_hosts"`
	// Mirror has this name since the first versions; releases that are tested for long do not know the newer one.
	Mirror string     `yaml:"apt_mirror,omitempty"`
	Keys   []string   `yaml:"ssh_authorized_keys,omitempty"`
	Boot   [][]string `yaml:"bootcmd,omitempty"`
}

// appendLine is run at each boot, before anything asks the network; the line is there once.
const appendLine = `grep -qxF -e "$1" /etc/environment || printf '%s\n' "$1" >>/etc/environment`

// userData is for cloud-init. key is a public key for the user who logs in, as authorized_keys has it; empty for none.
func userData(of config.NovaOptions, key string) (string, error) {
	c := cloudConfig{ManageHosts: true, Mirror: of.Mirror}
	if key != "" {
		c.Keys = []string{key}
	}
	for _, entry := range of.Environment {
		c.Boot = append(c.Boot, []string{"sh", "-c", appendLine, "sh", entry})
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write user data: %w", err)
	}
	return "#cloud-config\n" + string(text), nil
}
