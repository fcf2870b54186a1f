package main

import (
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// glance keeps the images, in files.
func (c *cloud) glance() (service, error) {
	const name = "glance"
	files, err := renderAll(struct {
		*cloud
		Port   int
		Folder string
	}{c, portGlance, c.at.service(name)}, "glance-api.conf")
	if err != nil {
		return service{}, err
	}
	conf := c.at.service(name, "etc/glance-api.conf")
	return service{
		name: name, needs: []string{"database", "swift"},
		Service: host.Service{
			Name: name, Files: files, Folders: []string{"locks", "staging", "tasks"}, Data: []string{"images"},
			Processes: []host.Process{{
				Name: name, Argv: []string{"/usr/bin/glance-api", "--config-file", conf}, Listen: []string{c.listen(portGlance)},
			}},
		},
		migrations: []migration{{argv: []string{"/usr/bin/glance-manage", "--config-file", conf, "db_sync"}}},
		ready:      []probe{{"Glance", name, answers(c.url(portGlance) + "/healthcheck")}},
	}, nil
}
