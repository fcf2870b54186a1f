package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lists"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// source is where a worker's configuration comes from: a file, and what the command line adds to it.
type source struct {
	path          string
	architectures []string
	variables     []string // KEY=VALUE
	allowExposed  bool     // take a backend whose tests are not kept away from this machine
}

// runnerOptions is how runs are made. tailor is what the configuration and the lists add to one.
func (s source) runnerOptions(conf config.Worker, tailor func(testbed.Job) testbed.Job) []testbed.Option {
	options := []testbed.Option{
		testbed.WithCheckout(conf.CheckoutDir), testbed.WithImages(conf.Images), testbed.WithTailor(tailor),
		testbed.WithState(filepath.Join(conf.StateDirectory, "testbeds")), testbed.WithNetwork(network(conf)),
	}
	if s.allowExposed {
		options = append(options, testbed.AllowExposed())
	}
	return options
}

// site is a configuration that is in force, with what follows from it.
type site struct {
	conf    config.Worker
	profile testbed.Profile
	lists   *lists.Lists
}

// load reads the configuration. The lists of an earlier site are kept if they are the same: they know the last good state
// of their files.
func (s source) load(before *site, log *slog.Logger) (*site, error) {
	conf, err := loadConfiguration(s.path)
	if err != nil {
		return nil, err
	}
	if len(s.architectures) > 0 {
		conf.Architectures = slices.Compact(slices.Sorted(slices.Values(s.architectures)))
	}
	for _, q := range queues(conf) {
		if err := q.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	variables, err := testbed.ParseVariables(s.variables)
	if err != nil {
		return nil, err
	}
	loaded := &site{conf: conf}
	if loaded.profile, err = testbed.NewProfile(conf, variables); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	if before != nil && before.conf.ListDirectory == conf.ListDirectory &&
		slices.Equal(before.conf.BigPackages, conf.BigPackages) && slices.Equal(before.conf.LongTests, conf.LongTests) {
		loaded.lists = before.lists
		return loaded, nil
	}
	words := map[lists.Kind][]string{lists.Big: conf.BigPackages, lists.Long: conf.LongTests}
	if loaded.lists, err = lists.New(conf.ListDirectory, words, log); err != nil {
		return nil, fmt.Errorf("%s: [autopkgtest] %w", s.path, err)
	}
	return loaded, nil
}

// exposed says that the configuration has a password that other accounts can read.
func (s source) exposed(conf config.Worker) string {
	info, err := os.Stat(s.path)
	if err != nil || !conf.HoldsPassword() || info.Mode().Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds a password and has mode %04o: run chmod 600 %[1]s, and change the password if others may have "+
		"read it", s.path, info.Mode().Perm()&fs.ModePerm)
}

// target is what the lists are asked about.
func target(q request.Queue, pkg string) lists.Target {
	return lists.Target{Package: pkg, Architecture: q.Architecture, Release: q.Release}
}

// traits are what the lists say of a package.
func (s *site) traits(q request.Queue, pkg string) testbed.Traits {
	t := target(q, pkg)
	return testbed.Traits{Big: s.lists.Has(lists.Big, t), Long: s.lists.Has(lists.Long, t), Machine: s.lists.NeedsMachine(t)}
}

// refuse says whether a package is not to be run, why, and which version stands for it in the result.
func (s *site) refuse(q request.Queue, pkg string) (reason, version string, refuse bool) {
	return s.lists.Refuse(target(q, pkg))
}

// tailor adds to a job what the configuration and the lists say of it.
func (s *site) tailor(job testbed.Job) testbed.Job {
	return s.profile.Apply(job, s.traits(job.Queue, job.Request.Package))
}

// checkLists complains of a list's file that is not in force.
func (s *site) checkLists(context.Context) error {
	var problems []error
	for _, v := range s.lists.Versions() {
		switch {
		case v.Problem == "":
		case v.SHA256 == "":
			problems = append(problems, fmt.Errorf("%s: %s; the list is taken for empty", v.Kind, v.Problem))
		default:
			problems = append(problems, fmt.Errorf("%s: %s; the one read at %s stays in force", v.Kind, v.Problem,
				v.Read.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(problems...)
}

// current is the site that is in force now; SIGHUP replaces it.
type current struct {
	mu   sync.Mutex
	site *site
}

func (c *current) get() *site {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.site
}

func (c *current) set(s *site) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.site = s
}

// Refuse is the policy of the site that is in force.
func (c *current) Refuse(q request.Queue, pkg string) (reason, version string, refuse bool) {
	return c.get().refuse(q, pkg)
}

// tailor is that of the site that is in force.
func (c *current) tailor(job testbed.Job) testbed.Job { return c.get().tailor(job) }

// check is for the health listener.
func (c *current) check() run.Check {
	return run.Check{
		ID: "lists", Title: "The lists of packages can be read",
		Check: func(ctx context.Context) error { return c.get().checkLists(ctx) },
	}
}

// tailored are testbeds whose jobs get what the site says of them.
type tailored struct {
	run.Testbeds
	current *current
}

func (t tailored) Run(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
	return t.Testbeds.Run(ctx, t.current.tailor(job))
}
