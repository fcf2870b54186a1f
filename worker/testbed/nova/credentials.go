package nova

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// environment is the source of the form of 2015: no RC file, but OS_* in the worker's own environment.
const environment = ""

// readCloud reads what a region is reached with. An RC file that other accounts can read is a config.ErrExposed.
func readCloud(source string) (cloudrc.Cloud, error) {
	if source == environment {
		variables := map[string]string{}
		for _, entry := range sessionVariables() {
			name, value, _ := strings.Cut(entry, "=")
			variables[name] = value
		}
		clouds, err := cloudrc.Lookup{Environment: variables, Directory: "/"}.FromEnvironment()
		if err != nil {
			return cloudrc.Cloud{}, err
		}
		if len(clouds) != 1 {
			return cloudrc.Cloud{}, errors.New("the environment leads to several regions: set OS_REGION_NAME, or " +
				"name RC files as [nova] rc_files")
		}
		return clouds[0], nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return cloudrc.Cloud{}, fmt.Errorf("read an RC file: %w", err)
	}
	if err := config.CheckMode(source, info.Mode()); err != nil {
		return cloudrc.Cloud{}, err
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return cloudrc.Cloud{}, fmt.Errorf("read an RC file: %w", err)
	}
	return cloudrc.ParseRC(source, content, nil)
}

// OpenRegion is the region that a source leads to: an RC file, or the environment if it is empty. Nothing is asked of it yet. An RC file
// that other accounts can read is a config.ErrExposed.
func OpenRegion(sessions *openstack.Sessions, source string) (*openstack.Region, error) {
	cloud, err := readCloud(source)
	if err != nil {
		return nil, err
	}
	secure, err := cloud.TLS(os.ReadFile)
	if err != nil {
		return nil, err
	}
	return sessions.Region(cloud, secure)
}

// sessionVariables are those by which clients of OpenStack log in, and find their files.
func sessionVariables() []string {
	var out []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "OS_") || strings.HasPrefix(entry, "HOME=") || strings.HasPrefix(entry, "XDG_CONFIG_HOME=") {
			out = append(out, entry)
		}
	}
	return out
}
