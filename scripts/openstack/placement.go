package main

import (
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// placement knows which hypervisor has room.
func (c *cloud) placement(r region) (service, error) {
	name := "placement-" + r.Name
	files, err := renderAll(c.in(r, name), "placement.conf")
	if err != nil {
		return service{}, err
	}
	port := r.Port(portPlacement)
	conf := c.at.service(name, "etc/placement.conf")
	return service{
		name: name, needs: []string{"database", "swift"},
		Service: host.Service{Name: name, Files: files, Processes: []host.Process{
			c.uwsgi(name, "/usr/bin/placement-api", port, "OS_PLACEMENT_CONFIG_DIR="+c.at.service(name, "etc")),
		}},
		migrations: []migration{{argv: []string{"/usr/bin/placement-manage", "--config-file", conf, "db", "sync"}}},
		ready:      []probe{{"Placement in " + r.Name, name, answers(c.url(port))}},
	}, nil
}
