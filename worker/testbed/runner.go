package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrExposed means that a backend would show this machine to its tests, and that nobody has allowed it.
var ErrExposed = errors.New("tests would not be kept away from this machine")

// Runner runs jobs with one backend. Its methods may be called from several goroutines; runs do not see each other.
type Runner struct {
	backend  Backend
	program  string // as its runs see it
	checkout string // of autopkgtest's own source, shown to runs; empty for the installed one
	features Features
	network  Network
	way      way
	names    *names
	log      *slog.Logger

	images, state, worker string // see the options
	exposed               bool
	tailor                func(Job) Job
	canaries              canaries
	ahead                 *ahead
	testbeds              testbeds
}

// Option changes how a Runner is made.
type Option func(*Runner)

// WithCheckout uses the autopkgtest of a checkout of its source, FOLDER/runner/autopkgtest, instead of the installed one. An
// empty folder changes nothing.
func WithCheckout(folder string) Option { return func(r *Runner) { r.checkout = folder } }

// WithNetwork says what runs may reach beside public addresses and the archive of their image.
func WithNetwork(n Network) Option { return func(r *Runner) { r.network = n } }

// NewRunner prepares a backend and finds out what this machine's autopkgtest can do. It fails if something that every
// run needs is not installed.
func NewRunner(ctx context.Context, backend string, log *slog.Logger, with ...Option) (*Runner, error) {
	b, err := Lookup(backend)
	if err != nil {
		return nil, err
	}
	r := &Runner{backend: b, names: newNames(), log: log, ahead: newAhead()}
	for _, option := range with {
		option(r)
	}
	properties := b.Properties()
	if properties.Exposes != "" && !r.exposed {
		return nil, fmt.Errorf("%w: backend %s: %s; --allow-exposed takes it all the same", ErrExposed, backend, properties.Exposes)
	}
	if r.way, err = r.chooseWay(ctx); err != nil {
		return nil, err
	}
	needed := map[string]string{"ip": "iproute2", "nft": "nftables", "newuidmap": "uidmap", "newgidmap": "uidmap", "rm": "coreutils"}
	if r.way.kind != WayOutVeth {
		needed["slirp4netns"] = "slirp4netns"
	}
	if r.checkout == "" {
		needed["autopkgtest"] = "autopkgtest"
	}
	for name, debianPackage := range properties.Commands {
		needed[name] = debianPackage
	}
	if err := findCommands(needed); err != nil {
		return nil, fmt.Errorf("backend %s: %w", backend, err)
	}
	program, err := r.findProgram()
	if err != nil {
		return nil, err
	}
	if r.features, err = probeFeatures(ctx, program); err != nil {
		return nil, err
	}
	return r, nil
}

// findProgram returns autopkgtest's path on this machine, and sets the one that runs see.
func (r *Runner) findProgram() (path string, err error) {
	if r.checkout == "" {
		r.program, err = findCommand("autopkgtest", "autopkgtest")
		return r.program, err
	}
	path = filepath.Join(r.checkout, checkoutProgram)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s is %w: checkout_dir is to name a checkout of autopkgtest's source", path, ErrMissing)
	}
	r.program = filepath.Join(checkoutInside, checkoutProgram)
	return path, nil
}

// Backend is the runner's backend.
func (r *Runner) Backend() Backend { return r.backend }

// checkLimit bounds Check, which takes a tenth of a second.
const checkLimit = 20 * time.Second

// Check makes a run's namespaces and network and does nothing in them. A daemon calls it when it starts, before anything else,
// to complain before it takes a request. A way out that nobody has asked for and that turns out not to work is given up.
func (r *Runner) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, errors.New("no answer within "+checkLimit.String()))
	defer cancel()
	err := r.probe(ctx)
	if err != nil && ctx.Err() == nil && r.way.kind == WayOutVeth && r.network.Kind == "" {
		r.way = way{kind: WayOutSlirp, reasons: []string{err.Error()}}
		err = r.probe(ctx)
	}
	if err != nil {
		return fmt.Errorf("try the namespaces of a run: %w", err)
	}
	r.log.Info("testbeds can be made", "backend", r.backend.Name(), "network", r.WayOut())
	return nil
}

func (r *Runner) probe(ctx context.Context) error {
	gate, err := r.filter(ctx, "", r.log)
	if err != nil {
		return err
	}
	probe := confinement{privileged: r.backend.Properties().Privileged, plain: r.backend.Properties().OnMachine, log: r.log}
	if !probe.plain {
		r.joinNetwork(&probe, gate)
	}
	_, err = probe.run(ctx)
	return err
}

// joinNetwork gives a command a network with the way out that was chosen.
func (r *Runner) joinNetwork(command *confinement, gate filter) {
	network := &insideNetwork{}
	command.inside.Network = network
	if r.way.kind == WayOutVeth {
		gate.ipv6 = gate.ipv6 && r.way.ipv6
		command.gateway = &gatewayPlan{ranges: r.network.ranges(), rules: gate.gatewayRules(), ipv6: gate.ipv6}
		network.Gateway = true
	} else {
		network.Filter = gate.ruleset()
	}
	network.IPv6 = gate.ipv6
}

// filter is what a run of an image, if there is one, may reach from this machine as it is now.
func (r *Runner) filter(ctx context.Context, image string, log *slog.Logger) (filter, error) {
	var info ImageInfo
	if image != "" {
		var err error
		if info, err = DescribeImage(image); err != nil {
			return filter{}, err
		}
	}
	destinations, err := r.network.destinations(info)
	if err != nil {
		return filter{}, err
	}
	return machineFilter(r.names.open(ctx, destinations, log))
}

// Run runs a job. It returns when nothing of the run is left but the output folder, in which there is always a file
// called log, with the reason in it if there is an error.
//
// When ctx ends the run is ended, first kindly, and the error is the context's cause. Any other error means that the
// tests were not run for a reason that has nothing to do with the package: no image, no space, no namespaces. A
// request that this worker cannot serve is an outcome, with the exit code for a bad command line.
func (r *Runner) Run(ctx context.Context, job Job) (Outcome, error) {
	if err := prepareOutput(job.OutputDir); err != nil {
		return Outcome{}, err
	}
	log := job.logTo(r.log)
	outcome, err := r.run(ctx, job, log)
	switch {
	case errors.Is(err, ErrUnsupported):
		log.Warn("request cannot be served", "error", err)
		note(job.OutputDir, err.Error())
		return Outcome{ExitCode: exitUnsupported}, nil
	case err != nil && ctx.Err() != nil:
		note(job.OutputDir, fmt.Sprintf("the run was ended: %v", err))
	case err != nil:
		note(job.OutputDir, fmt.Sprintf("testbed failure: %v", err))
	case outcome.Exceeded != "":
		note(job.OutputDir, "the run was ended: it went beyond its "+outcome.Exceeded)
	case outcome.TimedOut:
		note(job.OutputDir, fmt.Sprintf("the run was ended after its limit of %s", job.Timeout))
	}
	return outcome, err
}

// prepareOutput makes the output folder and refuses one that is in use.
func prepareOutput(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("read the output folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("the output folder %s is not empty: it has %s", folder, entries[0].Name())
	}
	return nil
}

// note adds a line of ours to the log, in autopkgtest's form. It is for people; an error loses no more than the line. What
// a test may have put in the log's place is not followed.
func note(folder, text string) {
	file, err := os.OpenFile(filepath.Join(folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "autopkgtest-cloud [%s]: %s\n", time.Now().Format("15:04:05"), text)
}
