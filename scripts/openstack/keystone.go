package main

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// keystone knows the users and the catalog.
func (c *cloud) keystone() (service, error) {
	const name = "keystone"
	files, err := renderAll(struct {
		*cloud
		Keys string
	}{c, c.at.service(name, "keys")}, "keystone.conf")
	if err != nil {
		return service{}, err
	}
	// The newest key makes tokens; "0" is the next one, which is never used because nothing rotates them here.
	for _, key := range []string{"0", "1"} {
		files = append(files, host.File{Name: "keys/" + key, Content: c.fernetKey(key), Secret: true})
	}
	conf := c.at.service(name, "etc/keystone.conf")
	return service{
		name: name, needs: []string{"database", "swift"},
		Service: host.Service{Name: name, Files: files, Processes: []host.Process{
			c.uwsgi(name, "/usr/bin/keystone-wsgi-public", portKeystone, "OS_KEYSTONE_CONFIG_FILES="+conf),
		}},
		migrations: []migration{{argv: []string{"/usr/bin/keystone-manage", "--config-file", conf, "db_sync"}}},
		ready:      []probe{{"Keystone", name, answers(c.AuthURL())}},
		finish:     func(ctx context.Context) error { return c.bootstrap(ctx, conf) },
	}, nil
}

// bootstrap makes the administrator where he cannot log in.
func (c *cloud) bootstrap(ctx context.Context, conf string) error {
	if _, err := c.login(ctx, admin); err == nil {
		return nil
	}
	return c.d.Run(ctx, host.Command{
		Argv: []string{"/usr/bin/keystone-manage", "--config-file", conf, "bootstrap"},
		// Not in its arguments, which everybody can read.
		Env: []string{
			"OS_BOOTSTRAP_USERNAME=" + admin.name,
			"OS_BOOTSTRAP_PASSWORD=" + c.Password(admin.name).Reveal(),
			"OS_BOOTSTRAP_PROJECT_NAME=" + admin.project,
			"OS_BOOTSTRAP_REGION_ID=" + regions[0].Name,
			"OS_BOOTSTRAP_PUBLIC_URL=" + c.AuthURL(),
		},
	})
}
