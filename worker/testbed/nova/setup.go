package nova

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Limits of a set-up call, of which autopkgtest waits half an hour for.
const (
	openLimit    = 28 * time.Minute
	activeLimit  = 10 * time.Minute // Nova copies an image to a hypervisor that has not had it yet
	rebootLimit  = 10 * time.Minute
	cleanupLimit = 4 * time.Minute
	goneLimit    = time.Minute // what has not gone by then goes later, or the janitor sees to it
)

// Setup is autopkgtest's protocol for testbeds that are reached by ssh, for one testbed. Each method is a call of the set-up script,
// in a process of its own.
type Setup struct {
	Plan   Plan
	Region *openstack.Region
	// Reach is where ssh answers for a server; nil: at the server's own address. Tests that have no guest set it.
	Reach func(context.Context, *openstack.Server) (host string, port int, err error)

	// Answers is what autopkgtest reads, KEY=VALUE; Says is for people, and gets into the public log of the test.
	Answers, Says io.Writer
}

// verbs are the calls.
var verbs = map[string]func(Setup, context.Context) error{
	"open": Setup.Open, "revert": Setup.Revert, "wait-reboot": Setup.WaitReboot, "cleanup": Setup.Cleanup,
	"debug-failure": Setup.DebugFailure,
}

// exitUsage is the code for a call that is none.
const exitUsage = 2

// Main is the set-up script: `PLAN open|revert|wait-reboot|cleanup|debug-failure`. Further words are ours, from an earlier answer. It
// returns the exit code.
func Main(arguments []string, reach func(context.Context, *openstack.Server) (string, int, error)) int {
	if len(arguments) < 2 || verbs[arguments[1]] == nil {
		fmt.Fprintf(os.Stderr, "autopkgtest-cloud: %s is called by autopkgtest, with a plan and a call of a set-up script\n", Verb)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := start(ctx, arguments, reach)
	if err != nil {
		fmt.Fprintln(os.Stderr, "autopkgtest-cloud:", public(err))
		return 1
	}
	return 0
}

func start(ctx context.Context, arguments []string, reach func(context.Context, *openstack.Server) (string, int, error)) error {
	text, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	s := Setup{Reach: reach, Answers: os.Stdout, Says: os.Stderr}
	if err := readPlan(text, &s.Plan); err != nil {
		return err
	}
	if s.Region, err = OpenRegion(new(openstack.Sessions), s.Plan.Source); err != nil {
		return s.failed(err)
	}
	return verbs[arguments[1]](s, ctx)
}

func (s Setup) account() account { return account{s.Plan.Account} }

func (s Setup) say(format string, values ...any) {
	fmt.Fprintf(s.Says, "autopkgtest-cloud: "+format+"\n", values...)
}

// Open boots a server, waits until one can log in and cloud-init has ended, and says how to reach it. When it fails, what was made is
// left for DebugFailure and Cleanup.
func (s Setup) Open(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, errors.New("not done within "+openLimit.String()))
	defer cancel()
	begun := record{Source: s.Plan.Source}
	if s.Plan.Floating {
		begun.Mark = mark(s.Plan.Tags)
	}
	if err := s.account().write(begun); err != nil { // before anything is made
		return err
	}
	if err := s.open(ctx); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s Setup) open(ctx context.Context) error {
	begin := time.Now()
	id, err := s.boot(ctx)
	if err != nil {
		return err
	}
	asked := time.Now()
	if err := s.note(func(r *record) { r.Servers = []string{id} }); err != nil {
		return err
	}
	s.say("server %s (%s) was asked for in region %s", s.Plan.Server, id, s.Region.Name())
	server, err := s.active(ctx, id)
	if err != nil {
		return err
	}
	booted := time.Now()
	if err := s.handOver(ctx, server); err != nil {
		return err
	}
	s.say("asking took %s, nova %s, the server's own boot %s",
		round(asked.Sub(begin)), round(booted.Sub(asked)), round(time.Since(booted)))
	return nil
}

// boot asks for the server, of what the worker has chosen, or if that is gone, of what is there now.
func (s Setup) boot(ctx context.Context) (id string, err error) {
	if s.Plan.Chosen.complete() {
		id, err = s.Region.Boot(ctx, s.server(s.Plan.Chosen))
		if !errors.Is(err, openstack.ErrInvalid) && !errors.Is(err, openstack.ErrNotFound) {
			return id, err
		}
	}
	chosen, err := s.choose(ctx)
	if err != nil {
		return "", err
	}
	return s.Region.Boot(ctx, s.server(chosen))
}

func (s Setup) server(of Choice) openstack.Boot {
	return openstack.Boot{
		Name: s.Plan.Server, Image: of.Image, Flavor: of.Flavor, Network: of.Network, Key: s.Plan.KeyName, Groups: s.Plan.Groups,
		UserData: []byte(s.Plan.UserData), Tags: s.Plan.Tags,
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// choose finds what the plan names, all at once.
func (s Setup) choose(ctx context.Context) (chosen Choice, err error) {
	var looking sync.WaitGroup
	var failed [3]error
	looking.Go(func() {
		image, err := s.Region.NewestImage(ctx, s.Plan.Image)
		chosen.Image, failed[0] = image.ID, err
	})
	looking.Go(func() {
		flavor, err := s.Region.Flavor(ctx, s.Plan.Flavor)
		chosen.Flavor, failed[1] = flavor.ID, err
	})
	looking.Go(func() {
		network, err := s.Region.InternalNetwork(ctx, s.Plan.Network)
		chosen.Network, failed[2] = network.ID, err
	})
	looking.Wait()
	return chosen, errors.Join(failed[:]...)
}

func (s Setup) active(ctx context.Context, id string) (*openstack.Server, error) {
	limited, cancel := context.WithTimeout(ctx, activeLimit)
	defer cancel()
	return s.Region.AwaitActive(limited, id)
}

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
	answers := [][2]string{{"login", s.Plan.Login}, {"hostname", host}, {"port", strconv.Itoa(port)}, {"identity", s.Plan.KeyFile},
		{"capabilities", strings.Join(words, ",")}, {"extraopts", "--server " + server.ID}}
	if region := s.Region.Name(); region != "" {
		answers[len(answers)-1][1] += " --region " + region
	}
	for _, answer := range answers {
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
	pool, err := s.Region.ExternalNetwork(ctx, "")
	if err != nil {
		return "", err
	}
	made, err := s.Region.Allocate(ctx, pool.ID, mark(s.Plan.Tags))
	if err != nil {
		return "", err
	}
	if _, err := s.Region.Associate(ctx, made.ID, ports[0].ID, ""); err != nil {
		return "", err
	}
	return made.FloatingIP, nil
}

// Revert has the server made anew where it is, from the newest image.
func (s Setup) Revert(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, errors.New("not done within "+openLimit.String()))
	defer cancel()
	if err := s.revert(ctx); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s Setup) revert(ctx context.Context) error {
	id, err := s.made()
	if err != nil {
		return err
	}
	image, err := s.Region.NewestImage(ctx, s.Plan.Image)
	if err != nil {
		return err
	}
	if err := s.Region.Rebuild(ctx, id, image.ID); err != nil {
		return err
	}
	server, err := s.active(ctx, id)
	if err != nil {
		return err
	}
	return s.handOver(ctx, server)
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

// Cleanup removes the testbed. It may be called when there is none, and again.
func (s Setup) Cleanup(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cleanupLimit, errors.New("not done within "+cleanupLimit.String()))
	defer cancel()
	said, err := s.account().read()
	if errors.Is(err, os.ErrNotExist) || said.Closed {
		return nil
	}
	if err != nil {
		return err
	}
	if err := remove(ctx, s.Region, said, s.Plan.Testbed, said.Mark); err != nil {
		return err
	}
	for _, id := range said.Servers {
		limited, cancel := context.WithTimeout(ctx, goneLimit)
		err := s.Region.AwaitGone(limited, id)
		cancel()
		if err != nil {
			s.say("server %s was deleted and is still there; it will be looked for again", id)
			return nil // not Closed: the worker has it deleted again
		}
	}
	return s.note(func(r *record) { r.Closed = true })
}

// DebugFailure says what is known of a server that does not do what it should.
func (s Setup) DebugFailure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := s.made()
	if err != nil {
		s.say("there is no server yet")
		return nil
	}
	server, err := s.Region.Server(ctx, id)
	if err != nil {
		return err
	}
	fixed, floating := openstack.Addresses(server)
	s.say("server %s (%s) in region %s is %s since %s; addresses %v %v; tags %v", server.Name, id, s.Region.Name(), server.Status,
		server.Updated.UTC().Format(time.RFC3339), fixed, floating, s.Plan.Tags)
	if server.Fault.Message != "" {
		s.say("its fault: %s", server.Fault.Message)
	}
	s.say("the end of its console:\n%s", s.Region.Console(ctx, id))
	return nil
}

// made is the id of the server that was made.
func (s Setup) made() (string, error) {
	said, err := s.account().read()
	if err != nil {
		return "", err
	}
	if len(said.Servers) == 0 {
		return "", errors.New("no server was made")
	}
	return said.Servers[0], nil
}

func (s Setup) note(change func(*record)) error {
	said, err := s.account().read()
	if err != nil {
		return err
	}
	change(&said)
	return s.account().write(said)
}

// failed notes for the worker why there is no testbed.
func (s Setup) failed(err error) error {
	said, readErr := s.account().read()
	if readErr != nil {
		said = record{Source: s.Plan.Source}
	}
	said.Failure = &failure{Region: regional(err), Text: err.Error()}
	return errors.Join(err, s.account().write(said))
}

// regional says whether the next testbed may fail in the region in the same way, whatever it is made of.
func regional(err error) bool {
	return !errors.Is(err, openstack.ErrNotFound) && !errors.Is(err, openstack.ErrInvalid) && !errors.Is(err, context.Canceled)
}

// public is an error in the words that may stand in the log of a test: without the paths and accounts of the operator's.
func public(err error) string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var parts []string
		for _, part := range joined.Unwrap() {
			parts = append(parts, public(part))
		}
		return strings.Join(parts, "; ")
	}
	var cloud *openstack.Error
	if errors.As(err, &cloud) {
		return fmt.Sprintf("%s: %s", cloud.Service, cloud.Summary())
	}
	return "the testbed cannot be made or reached; the log of the worker tells why"
}
