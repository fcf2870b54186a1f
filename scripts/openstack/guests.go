package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// guestsFile is in the folder of a cloud in whose first region servers are machines, emulated by qemu.
const guestsFile = "guests"

// hasGuests says whether servers are machines in a region. They are in the first one, if at all: an emulated machine takes a processor.
func (c *cloud) hasGuests(r region) bool { return c.guests && r == regions[0] }

// chooseGuests writes down that a cloud has guests. One that was made without cannot get them: its image is one that does not boot.
func chooseGuests(d *host.Directory, wanted bool) error {
	switch {
	case !wanted || d.Exists(guestsFile):
		return nil
	case d.Exists(seedFile):
		return &host.Problem{Kind: host.ErrInvalid, Thing: "the cloud in " + d.Path(), Cause: "was made without guests",
			WayOut: "End it with `openstack down`, and start it again, or use another folder."}
	}
	_, err := d.WriteFile(guestsFile, nil, 0o644)
	return err
}

// portMetadata is where guests ask who they are, through Neutron.
const portMetadata = 8775

// MetadataPort, Resolver and NovaPrivSep are for the templates of guests. The last names the parts of Nova's hypervisor that start a
// helper for what root alone may do.
func (r region) MetadataPort() int { return r.Port(portMetadata) }
func (c *cloud) Resolver() string  { return resolver }
func (c *cloud) NovaPrivSep() []string {
	return []string{"nova_sys_admin", "vif_plug_linux_bridge_privileged", "privsep_osbrick"}
}

func hypervisorName(r region) string { return "hypervisor-" + r.Name }

// guestAgents make up a hypervisor's networks.
var guestAgents = []string{bindsPorts, "L3 agent", "DHCP agent", "Metadata agent"}

// hypervisor is one room for all that makes machines and their networks: libvirt, Nova's side of it, and Neutron's agents.
func (c *cloud) hypervisor(r region) (service, error) {
	name := hypervisorName(r)
	files, err := renderAll(c.in(r, name), "neutron.conf", "linuxbridge.ini", "l3_agent.ini", "dhcp_agent.ini", "dnsmasq.conf",
		"metadata_agent.ini", "libvirtd.conf", "qemu.conf", "nova.conf")
	if err != nil {
		return service{}, err
	}
	etc := func(file string) string { return c.at.service(name, "etc", file) }
	inside := room{
		bridge: bridge(r), address: r.Floating + ".1/24", machines: c.at.service(name, "etc"), pidFile: c.at.service(name, roomPID),
	}
	ports := []int{c.at.amqp, portKeystone, portGlance, portSwift, r.MetadataPort()}
	for _, each := range regions { // the other one's are for whoever enters
		ports = append(ports, each.Port(portPlacement), each.Port(portNova), each.Port(portNeutron))
	}
	inside.forwards = append(inside.forwards, c.at.management)
	for _, port := range ports {
		inside.forwards = append(inside.forwards, c.listen(port))
	}
	agent := func(kind, file string) []string {
		return []string{"/usr/bin/neutron-" + kind + "-agent", "--config-file", etc("neutron.conf"), "--config-file", etc(file)}
	}
	commands := slices.Concat(
		[]string{"/usr/sbin/libvirtd", "-f", etc("libvirtd.conf"), plus},
		[]string{"/usr/bin/nova-compute", "--config-file", etc("nova.conf"), plus},
		agent("linuxbridge", "linuxbridge.ini"), []string{plus},
		agent("l3", "l3_agent.ini"), []string{plus},
		agent("dhcp", "dhcp_agent.ini"), []string{plus},
		agent("metadata", "metadata_agent.ini"),
	)
	s := service{
		name: name, needs: []string{"nova-" + r.Name, "neutron-" + r.Name},
		Service: host.Service{
			Name: name, Files: files, Folders: []string{"state", "locks", "instances"}, Binary: &c.at.program,
			Processes: []host.Process{{
				Name: name, Env: []string{keepsEnvironment}, Namespaces: true,
				Argv: append([]string{c.at.installed}, inside.arguments(agentVerb, commands...)...),
			}},
		},
		ready: []probe{
			{"Nova's hypervisor in " + r.Name, name, func(ctx context.Context) error {
				process, err := c.novaProcess(ctx, r, "nova-compute")
				return c.reportedInside(process.UpdatedAt, err)
			}},
			c.hypervisorProbe(r, name),
		},
	}
	for _, kind := range guestAgents {
		s.ready = append(s.ready, probe{"Neutron's " + kind + " in " + r.Name, name, func(ctx context.Context) error {
			agent, err := c.agent(ctx, r, kind)
			return c.reportedInside(agent.StartedAt, err)
		}})
	}
	return s, nil
}

// reportedInside wants what somebody says of himself to be news: those of a room that was there before have the same names.
func (c *cloud) reportedInside(at time.Time, err error) error {
	if err != nil {
		return err
	}
	if _, err := c.roomOfGuests(); err != nil { // the one that is about to end, or has not begun
		return err
	}
	begun, err := os.Stat(c.at.service(hypervisorName(regions[0]), roomPID))
	if err != nil {
		return err
	}
	if at.Before(begun.ModTime().Truncate(time.Second)) { // reports have whole seconds
		return fmt.Errorf("it has last reported at %s, and its room is there since %s", at, begun.ModTime())
	}
	return nil
}
