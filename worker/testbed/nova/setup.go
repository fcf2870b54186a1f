package nova

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	// Reach is nil for the server's own address. Tests that have no guest set it.
	Reach Reach

	// Answers is what autopkgtest reads, KEY=VALUE; Says is for people, and gets into the public log of the test.
	Answers, Says io.Writer
}

// Reach is where ssh answers for a server.
type Reach func(context.Context, *openstack.Server) (host string, port int, err error)

// verbs are the calls.
var verbs = map[string]func(Setup, context.Context) error{
	"open": Setup.Open, "revert": Setup.Revert, "wait-reboot": Setup.WaitReboot, "cleanup": Setup.Cleanup,
	"debug-failure": Setup.DebugFailure,
}

// exitUsage is the code for a call that is none.
const exitUsage = 2

// Main is the set-up script: `PLAN open|revert|wait-reboot|cleanup|debug-failure`. Further words are ours, from an earlier answer. It
// returns the exit code.
func Main(arguments []string, reach Reach) int {
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

func start(ctx context.Context, arguments []string, reach Reach) error {
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

// note changes what is noted; a plan without an account has no use for it.
func (s Setup) note(change func(*record)) error {
	if s.Plan.Account == "" {
		return nil
	}
	said, err := s.account().read()
	if err != nil {
		return err
	}
	change(&said)
	return s.account().write(said)
}
