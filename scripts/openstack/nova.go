package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// nova makes servers. Without guests its hypervisor is simulated: 1000 processors and 800 GB of memory, and no machine.
func (c *cloud) nova(r region) (service, error) {
	name := "nova-" + r.Name
	files, err := renderAll(c.in(r, name), "nova.conf")
	if err != nil {
		return service{}, err
	}
	port := r.Port(portNova)
	conf := c.at.service(name, "etc/nova.conf")
	process := func(part string, listen ...string) host.Process {
		return host.Process{
			Name: "nova-" + part + "-" + r.Name, Argv: []string{"/usr/bin/nova-" + part, "--config-file", conf}, Listen: listen,
		}
	}
	manage := func(arguments ...string) migration {
		return migration{argv: append([]string{"/usr/bin/nova-manage", "--config-file", conf}, arguments...)}
	}
	// The cells' addresses are written with places that each process fills in from its own configuration: they hold no password, and
	// are the same in every cloud.
	const anyDatabase = "{scheme}://{username}@/"
	listens := []string{c.listen(port)}
	if c.hasGuests(r) {
		listens = append(listens, c.listen(r.MetadataPort()))
	}
	s := service{
		name: name, needs: []string{"database", "rabbitmq", "swift", "keystone", "placement-" + r.Name, "catalog"},
		Service: host.Service{
			Name: name, Files: files, Folders: []string{"state", "locks", "instances"},
			Processes: []host.Process{process("api", listens...), process("conductor"), process("scheduler")},
		},
		migrations: []migration{
			manage("api_db", "sync"),
			manage("cell_v2", "map_cell0", "--database_connection", anyDatabase+"nova_cell0_"+r.Name+"?{query}"),
			manage("db", "sync"),
			manage("cell_v2", "create_cell", "--name", "cell1", "--database_connection", anyDatabase+"nova_"+r.Name+"?{query}",
				"--transport-url", "{scheme}://{username}:{password}@{hostname}:{port}/{path}"),
		},
		ready: []probe{
			{"Nova's API in " + r.Name, "nova-api-" + r.Name, answers(c.url(port))},
			{"Nova's conductor in " + r.Name, "nova-conductor-" + r.Name, c.novaHas(r, "nova-conductor")},
			{"Nova's scheduler in " + r.Name, "nova-scheduler-" + r.Name, c.novaHas(r, "nova-scheduler")},
		},
	}
	if c.hasGuests(r) { // that process is the hypervisor's
		return s, nil
	}
	s.Processes = append(s.Processes, process("compute"))
	s.ready = append(s.ready, c.hypervisorProbe(r, "nova-compute-"+r.Name))
	return s, nil
}

func (c *cloud) hypervisorProbe(r region, process string) probe {
	return probe{"the hypervisor in " + r.Name, process, func(ctx context.Context) error { return c.hasHypervisor(ctx, r) }}
}

// compute is Nova's API, as the administrator.
func (c *cloud) compute(ctx context.Context, r region) (*gophercloud.ServiceClient, error) {
	provider, err := c.session(ctx, admin)
	if err != nil {
		return nil, err
	}
	return openstack.NewComputeV2(provider, endpoint(r))
}

// novaHas wants a process that does not answer itself to have reported.
func (c *cloud) novaHas(r region, binary string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.novaProcess(ctx, r, binary)
		return err
	}
}

// novaProcess is one that has reported and lives, as far as Nova knows: it believes so for a minute after its end.
func (c *cloud) novaProcess(ctx context.Context, r region, binary string) (services.Service, error) {
	compute, err := c.compute(ctx, r)
	if err != nil {
		return services.Service{}, err
	}
	all, err := everything(ctx, services.List(compute, services.ListOpts{Binary: binary}), services.ExtractServices)
	if err != nil {
		return services.Service{}, err
	}
	for _, one := range all {
		if one.State == "up" {
			return one, nil
		}
	}
	return services.Service{}, fmt.Errorf("no %s has reported", binary)
}

// hasHypervisor wants one that the scheduler may choose: it is listed once it is mapped to its cell.
func (c *cloud) hasHypervisor(ctx context.Context, r region) error {
	compute, err := c.compute(ctx, r)
	if err != nil {
		return err
	}
	all, err := everything(ctx, hypervisors.List(compute, nil), hypervisors.ExtractHypervisors)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.State == "up" && one.Status == "enabled" {
			return nil
		}
	}
	return errors.New("no hypervisor has registered")
}
