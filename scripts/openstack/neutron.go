package main

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// neutron makes networks. An agent for Linux bridges must be alive: without one no port is bound, and a server without a bound port ends in
// ERROR. Where there are no guests it has nothing to plug, and lives in a network namespace with a bridge of its own.
func (c *cloud) neutron(r region) (service, error) {
	name, agent := "neutron-"+r.Name, "neutron-agent-"+r.Name
	names := []string{"neutron.conf", "ml2.ini"}
	if !c.hasGuests(r) {
		names = append(names, "linuxbridge.ini")
	}
	files, err := renderAll(c.in(r, name), names...)
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
	env := []string{keepsEnvironment}
	s := service{
		name: name, needs: []string{"database", "rabbitmq", "swift", "catalog"},
		Service: host.Service{
			Name: name, Files: files, Folders: []string{"state", "locks"}, Binary: &c.at.program,
			Processes: []host.Process{
				{
					Name: name, Env: env, Argv: configuration("/usr/bin/neutron-server", "neutron.conf", "ml2.ini"),
					Reads: []string{"etc/neutron.conf", "etc/ml2.ini"}, Listen: []string{c.listen(port)},
				},
			},
		},
		migrations: []migration{{argv: append(configuration("/usr/bin/neutron-db-manage", "neutron.conf", "ml2.ini"), "upgrade", "heads")}},
		ready: []probe{
			{"Neutron in " + r.Name, name, answers(c.url(port))},
		},
	}
	if c.hasGuests(r) { // the agents are the hypervisor's
		return s, nil
	}
	inside := room{forwards: []string{c.listen(c.at.amqp)}, bridge: bridge(r)}
	s.Processes = append(s.Processes, host.Process{
		Name: agent, Env: env, Namespaces: true,
		Argv: append([]string{c.at.installed}, inside.arguments(agentVerb,
			configuration("/usr/bin/neutron-linuxbridge-agent", "neutron.conf", "linuxbridge.ini")...)...),
		Reads: []string{"etc/neutron.conf", "etc/linuxbridge.ini"},
	})
	s.ready = append(s.ready, c.agentProbe(r, agent, bindsPorts))
	return s, nil
}

// keepsEnvironment is for programs that give themselves another title, and would put that over the environment, by which processes are
// known to be the cloud's.
const keepsEnvironment = "SPT_NOENV=1"

// bridge is that of floating IPs.
func bridge(r region) string { return "br-" + r.Name }

// bindsPorts is the kind of agent without which no port is bound.
const bindsPorts = "Linux bridge agent"

func (c *cloud) agentProbe(r region, process, kind string) probe {
	return probe{"Neutron's " + kind + " in " + r.Name, process, func(ctx context.Context) error {
		_, err := c.agent(ctx, r, kind)
		return err
	}}
}

// agent is one of the kind that has reported and lives, as far as Neutron knows: it believes so for a minute after its end.
func (c *cloud) agent(ctx context.Context, r region, kind string) (agents.Agent, error) {
	provider, err := c.session(ctx, admin)
	if err != nil {
		return agents.Agent{}, err
	}
	network, err := openstack.NewNetworkV2(provider, endpoint(r))
	if err != nil {
		return agents.Agent{}, err
	}
	all, err := everything(ctx, agents.List(network, agents.ListOpts{Host: r.Name, AgentType: kind}), agents.ExtractAgents)
	if err != nil {
		return agents.Agent{}, err
	}
	for _, one := range all {
		if one.Alive {
			return one, nil
		}
	}
	return agents.Agent{}, fmt.Errorf("no %s has reported", kind)
}
