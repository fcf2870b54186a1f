package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const (
	configVariable = "AUTOPKGTEST_CLOUD_CONFIG"
	sitePath       = "/etc/autopkgtest-website/autopkgtest-cloud.conf"
)

// errConfiguration: nothing, or not enough, says where the cloud is.
var errConfiguration = errors.New("no usable configuration")

// configuration reads the first configuration file that there is. One that was named must exist.
func (a *app) configuration() (config.Operator, string, error) {
	for _, named := range []string{a.configPath, a.getenv(configVariable)} {
		if named != "" {
			operator, err := a.load(named)
			return operator, named, err
		}
	}
	candidates := []string{}
	if folder := a.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(folder) {
		candidates = append(candidates, filepath.Join(folder, "autopkgtest-cloud.conf"))
	} else if home := a.getenv("HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, ".config", "autopkgtest-cloud.conf"))
	}
	candidates = append(candidates, a.sitePath)
	for _, path := range candidates {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		operator, err := a.load(path)
		return operator, path, err
	}
	return config.Operator{}, "", fmt.Errorf("%w: there is no %s; name the file with --config or %s",
		errConfiguration, strings.Join(candidates, " and no "), configVariable)
}

// load reads a file. The existing site's belongs to another program, whose keys are none of ours to judge.
func (a *app) load(path string) (config.Operator, error) {
	load := config.LoadOperator
	if path == a.sitePath {
		load = config.LoadSite
	}
	operator, err := load(path)
	if err != nil {
		return config.Operator{}, fmt.Errorf("%w: %w", errConfiguration, err)
	}
	return operator, nil
}

// broker finds the account for publishing: the one that was named, or the configuration's.
func (a *app) broker() (config.Broker, error) {
	if a.credentials != "" {
		broker, err := config.ReadBroker(a.credentials)
		if err != nil {
			return config.Broker{}, fmt.Errorf("%w: %w", errConfiguration, err)
		}
		return broker, nil
	}
	operator, path, err := a.configuration()
	if err != nil {
		return config.Broker{}, err
	}
	if operator.BrokerCredentials == "" && operator.BrokerURI == "" {
		return config.Broker{}, fmt.Errorf("%w: %s has no account for requests: it needs credentials_file = FILE in [amqp]",
			errConfiguration, path)
	}
	broker, err := operator.Broker()
	if err != nil {
		return config.Broker{}, fmt.Errorf("%w: %s, [amqp]: %w", errConfiguration, path, err)
	}
	return broker, nil
}

// site finds the results site.
func (a *app) site() (*site, error) {
	operator, path, err := a.configuration()
	if err != nil {
		return nil, err
	}
	if operator.WebURL == "" {
		return nil, fmt.Errorf("%w: %s does not name the results site: it needs url = http://HOST in [web]",
			errConfiguration, path)
	}
	return newSite(operator.WebURL), nil
}
