package nova

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// handOver waits for the guest and tells autopkgtest of it.
func (s Setup) handOver(ctx context.Context, server *openstack.Server) error {
	host, port, err := s.reach(ctx, server)
	if err != nil {
		return err
	}
	keys, err := readKeys(s.Plan.KeyFile)
	if err != nil {
		return err
	}
	boot, err := guest{host, port, s.Plan.Login, keys}.await(ctx, "")
	if err != nil {
		return s.Region.NewError(openstack.ErrUnavailable, openstack.Compute,
			fmt.Sprintf("server %s (%s) is ACTIVE, but nobody can use it: %s", server.Name, server.ID, err),
			"see its console: does it boot, does it get an address, does its security group let ssh in, does it have the key?")
	}
	if err := s.note(func(r *record) { r.Host, r.Port, r.BootID, r.Opened = host, port, boot, true }); err != nil {
		return err
	}
	words := make([]string, len(capabilities))
	for i, c := range capabilities {
		words[i] = string(c)
	}
	more := "--server " + server.ID
	if region := s.Region.Name(); region != "" {
		more += " --region " + region
	}
	for _, answer := range [][2]string{
		{"login", s.Plan.Login}, {"hostname", host}, {"port", strconv.Itoa(port)}, {"identity", s.Plan.KeyFile},
		{"capabilities", strings.Join(words, ",")}, {"extraopts", more},
	} {
		if answer[1] != "" {
			fmt.Fprintf(s.Answers, "%s=%s\n", answer[0], answer[1])
		}
	}
	return nil
}

func (s Setup) reach(ctx context.Context, server *openstack.Server) (host string, port int, err error) {
	if s.Plan.Floating {
		if host, err = s.float(ctx, server); err != nil {
			return "", 0, err
		}
	}
	if s.Reach != nil {
		return s.Reach(ctx, server)
	}
	if host != "" {
		return host, sshPort, nil
	}
	fixed, _ := openstack.Addresses(server)
	if len(fixed) == 0 {
		return "", 0, s.Region.NewError(openstack.ErrBroken, openstack.Compute, "server "+server.ID+" is ACTIVE and has no address",
			"see whether its network has a subnet with free addresses")
	}
	return fixed[0].String(), sshPort, nil
}

// float gives the server a floating IP, unless it has one from before it was made anew. Nova tells of addresses late; so Neutron is
// asked, which knows at once.
func (s Setup) float(ctx context.Context, server *openstack.Server) (address string, err error) {
	ports, err := s.Region.Ports(ctx, server.ID)
	if err != nil {
		return "", err
	}
	if len(ports) == 0 {
		return "", s.Region.NewError(openstack.ErrBroken, openstack.Network, "server "+server.ID+" is ACTIVE and has no port",
			"tell the cloud's operators")
	}
	before, err := s.Region.FloatingIPsMarked(ctx, mark(s.Plan.Tags))
	if err != nil {
		return "", err
	}
	for _, one := range before {
		if one.PortID == ports[0].ID {
			return one.FloatingIP, nil
		}
	}
	outside, err := pool(ctx, s.Region, s.Plan.Pool)
	if err != nil {
		return "", err
	}
	var made openstack.FloatingIP
	allocate := func() error { made, err = s.Region.Allocate(ctx, outside.ID, mark(s.Plan.Tags)); return err }
	if err := s.make(ctx, allocate, func(*record) {}); err != nil { // its mark has been noted
		return "", err
	}
	if _, err := s.Region.Associate(ctx, made.ID, ports[0].ID, ""); err != nil {
		return "", err
	}
	return made.FloatingIP, nil
}

// pool is the external network of a region's floating IPs.
func pool(ctx context.Context, region *openstack.Region, name string) (openstack.Net, error) {
	found, err := region.ExternalNetwork(ctx, name)
	var several *openstack.Error
	if name == "" && errors.Is(err, openstack.ErrConflict) && errors.As(err, &several) {
		several.WayOut = "name one of them with --floating-pool in novaopts"
	}
	return found, err
}

// WaitReboot waits until the server, which was told to reboot, has booted.
func (s Setup) WaitReboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, rebootLimit, errors.New("not back within "+rebootLimit.String()))
	defer cancel()
	said, err := s.account().read()
	if err != nil {
		return err
	}
	keys, err := readKeys(s.Plan.KeyFile)
	if err != nil {
		return err
	}
	boot, err := guest{said.Host, said.Port, s.Plan.Login, keys}.await(ctx, said.BootID)
	if err != nil {
		return err
	}
	return s.note(func(r *record) { r.BootID = boot })
}
