package main

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// neutron makes networks. An agent for Linux bridges must be alive: without one no port is bound, and a server without a bound port ends in
// ERROR. It has nothing to plug, as there are no machines, and lives in a network namespace with a bridge of its own.
func (c *cloud) neutron(r region) (service, error) {
	name, agent := "neutron-"+r.Name, "neutron-agent-"+r.Name
	files, err := renderAll(c.in(r, name), "neutron.conf", "ml2.ini", "linuxbridge.ini")
	if err != nil {
		return service{}, err
	}
	etc := func(file string) string { return c.at.service(name, "etc", file) }
	port := r.Port(portNeutron)
	configuration := func(program string, files ...string) []string {
		argv := []string{program}
		for _, file := range files {
			argv = append(argv, "--config-file", etc(file))
		}
		return argv
	}
	room := []string{
		c.at.installed, "agent", "--broker", net.JoinHostPort(c.Address(), strconv.Itoa(c.at.amqp)), "--bridge", "br-" + r.Name, "--",
	}
	// It gives itself another title, and would put that over the environment, by which processes are known to be the cloud's.
	env := []string{"SPT_NOENV=1"}
	return service{
		name: name, needs: []string{"database", "rabbitmq", "swift", "catalog"},
		Service: host.Service{
			Name: name, Files: files, Folders: []string{"state", "locks"}, Binary: &c.at.program,
			Processes: []host.Process{
				{
					Name: name, Env: env, Argv: configuration("/usr/bin/neutron-server", "neutron.conf", "ml2.ini"),
					Reads: []string{"etc/neutron.conf", "etc/ml2.ini"}, Listen: []string{c.listen(port)},
				},
				{
					Name: agent, Env: env, Namespaces: true,
					Argv:  append(room, configuration("/usr/bin/neutron-linuxbridge-agent", "neutron.conf", "linuxbridge.ini")...),
					Reads: []string{"etc/neutron.conf", "etc/linuxbridge.ini"},
				},
			},
		},
		migrations: []migration{{argv: append(configuration("/usr/bin/neutron-db-manage", "neutron.conf", "ml2.ini"), "upgrade", "heads")}},
		ready: []probe{
			{"Neutron in " + r.Name, name, answers(c.url(port))},
			{"Neutron's agent in " + r.Name, agent, func(ctx context.Context) error { return c.hasAgent(ctx, r) }},
		},
	}, nil
}

// hasAgent wants the agent that binds the ports.
func (c *cloud) hasAgent(ctx context.Context, r region) error {
	provider, err := c.session(ctx, admin)
	if err != nil {
		return err
	}
	network, err := openstack.NewNetworkV2(provider, endpoint(r))
	if err != nil {
		return err
	}
	pages, err := agents.List(network, agents.ListOpts{Host: r.Name}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := agents.ExtractAgents(pages)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Alive {
			return nil
		}
	}
	return errors.New("no agent has reported")
}
