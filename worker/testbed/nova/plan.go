package nova

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Plan is what the set-up script is told. It has no secrets in it: those are in the files that it names.
type Plan struct {
	Source   string   `json:"source"` // path of the region's RC file; empty for the variables of the environment
	Account  string   `json:"account"`
	Testbed  string   `json:"testbed"` // its name, by which all of its servers are found
	Server   string   `json:"server"`  // the server's name
	Tags     []string `json:"tags"`
	Image    string   `json:"image"`
	Flavor   string   `json:"flavor"`
	Network  string   `json:"network,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	KeyName  string   `json:"key_name,omitempty"`
	KeyFile  string   `json:"key_file,omitempty"`
	Login    string   `json:"login"`
	UserData string   `json:"user_data"`
	Floating bool     `json:"floating,omitempty"`
	Pool     string   `json:"pool,omitempty"` // of floating IPs

	// Chosen is what the worker has found a moment ago of Image, Flavor and Network.
	Chosen Choice `json:"chosen"`
}

// Choice is what a server is made of, by the ids that a region knows; without all three it is none.
type Choice struct {
	Image   string `json:"image,omitempty"`
	Flavor  string `json:"flavor,omitempty"`
	Network string `json:"network,omitempty"`
}

func (c Choice) complete() bool { return c.Image != "" && c.Flavor != "" && c.Network != "" }

func newPlan(of config.NovaTestbed, t testbed.Testbed, source string, chosen Choice) (Plan, error) {
	key := ""
	if of.KeyName == "" {
		if of.KeyFile == "" {
			return Plan{}, errors.New("[nova] in worker.conf: nobody could log in to a testbed: " +
				"name a key pair with --keyname in novaopts, or a private key as key_file")
		}
		var err error
		if key, err = publicKey(of.KeyFile); err != nil {
			return Plan{}, err
		}
	}
	data, err := userData(of.NovaOptions, key)
	if err != nil {
		return Plan{}, err
	}
	return Plan{
		Source: source, Account: accountFolder, Testbed: t.Name, Server: serverName(t), Tags: tagsOf(t), Image: of.Image, Flavor: of.Flavor,
		Network: of.Network, Groups: of.Groups, KeyName: of.KeyName, KeyFile: of.KeyFile, Login: of.Login, UserData: data,
		Floating: of.FloatingIP, Pool: of.Pool, Chosen: chosen,
	}, nil
}

// readPlan reads what the worker has written.
func readPlan(text []byte, p *Plan) error {
	if err := json.Unmarshal(text, p); err != nil {
		return fmt.Errorf("read the plan of a testbed: %w", err)
	}
	return nil
}
