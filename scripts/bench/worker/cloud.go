package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// stackName is the name that `stack run` gives to its stacks.
const stackName = "test"

// cloud is the real broker and the real store, which `stack run` has started for us and removes when we have ended, with what
// a worker needs of them.
type cloud struct {
	directory  *host.Directory
	management *management.Client
	admin      config.Broker
	broker     config.Broker // a worker's account
	account    config.Store
	store      *swift.Store
	session    *queue.Session // of whoever requests
	folder     string         // below the stack's
	log        *os.File       // nil for none
}

func openCloud(ctx context.Context, keepLog string) (*cloud, error) {
	variables := map[string]string{}
	for _, name := range []string{"DIRECTORY", "AMQP", "MANAGEMENT", "SWIFT"} {
		variables[name] = os.Getenv("AUTOPKGTEST_TEST_" + name)
		if variables[name] == "" {
			return nil, fmt.Errorf("AUTOPKGTEST_TEST_%s is not set: this is run by `stack run`, as `make bench-worker` does", name)
		}
	}
	c := new(cloud)
	var err error
	if c.directory, err = host.Open(variables["DIRECTORY"], stackName); err != nil {
		return nil, err
	}
	if c.admin, err = config.ParseBroker(variables["AMQP"]); err != nil {
		return nil, err
	}
	address, err := url.Parse(variables["MANAGEMENT"])
	if err != nil {
		return nil, errors.New("AUTOPKGTEST_TEST_MANAGEMENT is not a URL")
	}
	address.User = nil
	if c.management, err = management.New(address.String(), c.admin.Username, c.admin.Password); err != nil {
		return nil, err
	}
	if c.account, err = config.ReadStore(variables["SWIFT"]); err != nil {
		return nil, err
	}
	c.store = swift.New(c.account)
	if keepLog != "" {
		if c.log, err = os.Create(keepLog); err != nil {
			return nil, err
		}
	}
	return c, errors.Join(c.prepareBroker(ctx), c.prepareFolder(ctx))
}

func (c *cloud) close() {
	if c.session != nil {
		_ = c.session.Close()
	}
	if c.log != nil {
		_ = c.log.Close()
	}
}

// prepareBroker makes what a deployment has: the exchanges, and a worker's account.
func (c *cloud) prepareBroker(ctx context.Context) (err error) {
	for _, x := range management.Fanouts {
		if err := c.management.DeclareExchange(ctx, x); err != nil {
			return err
		}
	}
	c.broker = c.admin
	c.broker.Username, c.broker.Password = "bench-worker", config.NewSecret()
	err = c.management.PutUser(ctx, management.User{
		Name: c.broker.Username, PasswordHash: management.HashPassword(c.broker.Password), Tags: management.OurTags,
	})
	if err == nil {
		err = c.management.PutPermissions(ctx, c.broker.Username, management.Worker.Permissions())
	}
	if err != nil {
		return err
	}
	if c.session, err = queue.Dial(ctx, c.admin); err != nil {
		return err
	}
	for _, l := range []queue.Listener{queue.CompletionListener, queue.StatusListener} { // as a collector has them
		if err := c.session.DeclareListener(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// prepareFolder builds the programs, below a folder that the services' account can read.
func (c *cloud) prepareFolder(ctx context.Context) error {
	c.folder = c.directory.Path("bench")
	if err := os.Mkdir(c.folder, 0o755); err != nil {
		return err
	}
	for to, what := range map[string]string{c.program(): "worker/cmd/autopkgtest-worker",
		filepath.Join(c.checkout(), "runner", "autopkgtest"): "scripts/bench/autopkgtest"} {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		const module = "github.com/autopkgtest-cloud/autopkgtest-cloud/"
		command := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", to, module+what)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", what, err, out)
		}
	}
	return nil
}

func (c *cloud) program() string { return filepath.Join(c.folder, "autopkgtest-worker") }

// checkout has the stub where a checkout of autopkgtest's source has the real program.
func (c *cloud) checkout() string { return filepath.Join(c.folder, "checkout") }

// declare makes a queue of a release that nobody else has.
func (c *cloud) declare(ctx context.Context, release string) (request.Queue, error) {
	q := request.Queue{Release: release, Architecture: runtime.GOARCH}
	return q, c.management.DeclareQueue(ctx, q.Name())
}
