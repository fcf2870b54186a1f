package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// user is somebody who logs in to his own project.
type user struct{ name, project string }

var (
	admin   = user{"admin", "admin"}
	tenants = []user{{"prodstack", "prodstack"}, {"scalingstack", "scalingstack"}}
)

// rcFolder has one RC file for each user and region.
const rcFolder = "credentials/rc"

// writeRCFiles comes last: whoever finds the files finds a cloud that serves.
func (c *cloud) writeRCFiles() error {
	if err := c.d.MkdirAll(rcFolder, 0o700); err != nil {
		return err
	}
	for _, r := range regions {
		for _, u := range append([]user{admin}, tenants...) {
			if _, err := c.d.WriteFile(filepath.Join(rcFolder, u.name+"-"+r.Name+".rc"), []byte(c.rc(u, r)), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// rc is what people source into a shell, in the form that clients of the third version of Keystone's API want.
func (c *cloud) rc(u user, r region) string {
	var text strings.Builder
	for _, line := range [][2]string{
		{"OS_AUTH_URL", c.AuthURL()},
		{"OS_IDENTITY_API_VERSION", "3"},
		{"OS_USERNAME", u.name},
		{"OS_PASSWORD", c.Password(u.name).Reveal()},
		{"OS_USER_DOMAIN_NAME", "Default"},
		{"OS_PROJECT_NAME", u.project},
		{"OS_PROJECT_DOMAIN_NAME", "Default"},
		{"OS_REGION_NAME", r.Name},
	} {
		fmt.Fprintf(&text, "export %s=%s\n", line[0], line[1])
	}
	return text.String()
}
