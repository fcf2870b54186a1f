package openstack

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// dataLimit is what Nova takes, in bytes of base64.
const dataLimit = 65535

// cloudConfigMark is the first line by which cloud-init knows what it is given.
const cloudConfigMark = "#cloud-config"

// UserData is what prepares a machine for a service that is put there by ssh. Nothing in it may be secret: every account of the project
// can read it, and so can every program on the machine. What is secret follows over ssh.
type UserData struct {
	// Mirror and SecurityMirror are archives for apt; empty for those of the image. cloud-init takes Mirror for both if the other is empty.
	Mirror, SecurityMirror string
	// Proxy is apt's.
	Proxy string
	// Extra is a #cloud-config of the operator's, or empty. What it says of a key of the first level takes the place of ours.
	Extra string
}

// Render returns the #cloud-config. It lets root log in with the key pair's key, and nobody with a password; it has the machine show
// its host keys on the console, where they are read; and it has the machine know its own name, which a broker needs.
func (d UserData) Render() ([]byte, error) {
	extra, err := parseExtra(d.Extra)
	if err != nil {
		return nil, err
	}
	var config yaml.Node
	if err := config.Encode(d.ours()); err != nil {
		return nil, err
	}
	override(&config, extra)
	text, err := yaml.Marshal(&config)
	if err != nil {
		return nil, err
	}
	rendered := append([]byte(cloudConfigMark+"\n"), text...)
	if size := base64.StdEncoding.EncodedLen(len(rendered)); size > dataLimit {
		return nil, fmt.Errorf("user data of %d bytes (base64) are too much: a cloud takes %d; have the machine fetch "+
			"what is large", size, dataLimit)
	}
	return rendered, nil
}

func (d UserData) ours() map[string]any {
	config := map[string]any{
		"disable_root":     false,
		"ssh_pwauth":       false,
		"ssh":              map[string]any{"emit_keys_to_console": true},
		"manage_etc_hosts": "localhost",
	}
	apt := map[string]any{}
	for key, uri := range map[string]string{"primary": d.Mirror, "security": d.SecurityMirror} {
		if uri != "" {
			apt[key] = []any{map[string]any{"arches": []any{"default"}, "uri": uri}}
		}
	}
	if d.Proxy != "" {
		apt["http_proxy"] = d.Proxy
	}
	if len(apt) > 0 {
		config["apt"] = apt
	}
	return config
}

// override puts the pairs of one mapping into another, where they take the place of those with the same key. They stay as they were
// written: cloud-init reads YAML 1.1, to which yes is no text.
func override(config, extra *yaml.Node) {
	if extra == nil {
		return
	}
	for i := 0; i+1 < len(extra.Content); i += 2 {
		there := false
		for j := 0; j+1 < len(config.Content); j += 2 {
			if config.Content[j].Value == extra.Content[i].Value {
				config.Content[j+1], there = extra.Content[i+1], true
			}
		}
		if !there {
			config.Content = append(config.Content, extra.Content[i], extra.Content[i+1])
		}
	}
}

// secretKeys are those of cloud-init under which there is nothing but secrets.
var secretKeys = []string{"password", "passwd", "hashed_passwd", "plain_text_passwd", "chpasswd", "ssh_keys"}

// parseExtra reads an operator's part. One that has a secret in it is refused, as far as that can be seen.
func parseExtra(text string) (*yaml.Node, error) {
	if text == "" {
		return nil, nil
	}
	if first, _, _ := strings.Cut(text, "\n"); strings.TrimSpace(first) != cloudConfigMark {
		return nil, fmt.Errorf("its first line is not %s; a script belongs into runcmd", cloudConfigMark)
	}
	if strings.Contains(text, "PRIVATE KEY-----") {
		return nil, errors.New("it has a private key in it, and user data can be read by every account of the project: put it there by ssh")
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	if len(document.Content) == 0 {
		return nil, nil // comments alone
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("it is no YAML with keys at the first level")
	}
	if key := secretKey(root); key != "" {
		return nil, fmt.Errorf("it has the key %s, which is for secrets, and user data can be read by every account of the project: "+
			"log in with a key, and put secrets there by ssh", key)
	}
	return root, nil
}

// secretKey finds such a key at any level.
func secretKey(node *yaml.Node) string {
	for i, child := range node.Content {
		isKey := node.Kind == yaml.MappingNode && i%2 == 0
		if isKey && slices.Contains(secretKeys, child.Value) {
			return child.Value
		}
		if found := secretKey(child); found != "" {
			return found
		}
	}
	return ""
}

// CheckUserData says whether an operator's part can be used.
func CheckUserData(extra string) error {
	_, err := UserData{Extra: extra}.Render()
	return err
}
