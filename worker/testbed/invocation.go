package testbed

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// ErrUnsupported marks a request that is valid, but that this worker's autopkgtest or its testbeds cannot serve.
var ErrUnsupported = errors.New("not supported here")

// ProposedPocket is the pocket from which the packages under test are taken.
const ProposedPocket = "proposed"

// Invocation is everything that autopkgtest's command line depends on.
type Invocation struct {
	Program   string // autopkgtest, or the path of a checkout's
	OutputDir string // as autopkgtest sees it

	Request request.Request
	Queue   request.Queue

	// Source is an unpacked source tree to test instead of the request's package; empty for the package.
	Source string

	ExtraArguments []string // the operator's
	SetupCommands  []string // the operator's, run in the new testbed; empty ones are left out

	// Sources are the request's PPAs, see sourcesOf.
	Sources Sources

	// Pockets are the archive's pockets beside the release itself, for example "proposed". A Debian release has no
	// such pocket, and asking autopkgtest for one would break apt in the testbed. See ImageInfo.
	Pockets []string

	// TestbedArchitecture is the testbed's own. When it is not the queue's, the tests are run as a foreign architecture.
	TestbedArchitecture string

	Features Features
	Timeouts Timeouts
	Debug    bool

	// User is the account in the testbed for tests that need not be root; empty leaves it to autopkgtest.
	User string

	// Backend is what follows `--`.
	Backend []string
}

// Arguments builds the command line, in the order in which the upstream worker has it. It is a pure function. Its error
// is an ErrUnsupported.
//
// The command line is for one execution, not for logs: it holds the request's environment.
func (i Invocation) Arguments() ([]string, error) {
	args := []string{i.Program, "--output-dir", i.OutputDir}
	architecture, err := i.architecture()
	if err != nil {
		return nil, err
	}
	args = append(args, architecture...)
	args = append(args, i.ExtraArguments...)
	for _, command := range i.SetupCommands {
		if command != "" {
			args = append(args, "--setup-commands", command)
		}
	}
	args = append(args, i.sources()...)
	args = append(args, i.pockets()...)
	subject, err := i.subject()
	if err != nil {
		return nil, err
	}
	args = append(args, subject...)
	if i.User != "" {
		args = append(args, "--user="+i.User)
	}
	if i.Debug {
		args = append(args, "--debug")
	}
	args = append(args, i.Timeouts.arguments()...)
	args = append(args, i.environment()...)
	args = append(args, "--")
	args = append(args, i.Backend...)
	return args, checkLengths(args)
}

// maxArgument is the kernel's limit for one argument (MAX_ARG_STRLEN), with its terminating zero.
const maxArgument = 128<<10 - 1

func checkLengths(args []string) error {
	for _, arg := range args {
		if len(arg) > maxArgument {
			name, _, _ := strings.Cut(arg, "=")
			if len(name) > 40 {
				name = name[:40] + "…"
			}
			return fmt.Errorf("%w: the argument %s would have %d bytes, the kernel takes %d: request fewer triggers at once",
				ErrUnsupported, name, len(arg), maxArgument)
		}
	}
	return nil
}

func (i Invocation) architecture() ([]string, error) {
	var args []string
	if i.Queue.Architecture == "riscv64" {
		args = append(args, "--needs-internet=skip")
	}
	if i.TestbedArchitecture != "" && i.TestbedArchitecture != i.Queue.Architecture {
		if !i.Features.ForeignArchitecture {
			return nil, fmt.Errorf("%w: tests of %s in a testbed of %s need an autopkgtest that knows --architecture; "+
				"build an image of %[2]s, or install a newer autopkgtest", ErrUnsupported, i.Queue.Architecture, i.TestbedArchitecture)
		}
		args = append(args, "-a", i.Queue.Architecture)
	}
	return args, nil
}

// sources adds the extra archives. The copies are there before autopkgtest lets apt read the first line.
func (i Invocation) sources() []string {
	var args, after []string
	for _, c := range i.Sources.Copies {
		args = append(args, "--copy="+path.Join(setupInside, c.Name)+":"+c.To)
		if c.Secret {
			// Backends copy the content alone, and autopkgtest then gives the file to the account that tests run as.
			after = append(after, "--setup-commands", "chown 0:0 "+c.To+" && chmod 0600 "+c.To)
		}
	}
	for _, line := range i.Sources.Lines {
		args = append(args, "--add-apt-source="+line)
	}
	return append(args, after...)
}

// sourceName is what may stand after `src:`. autopkgtest puts it into a shell script that it runs in the testbed.
var sourceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]*$`)

// pockets chooses the packages that come from the proposed pocket: those of the triggers, so that a test sees one
// change and not all of them at once.
func (i Invocation) pockets() []string {
	if len(i.Backend) > 0 && i.Backend[0] == "null" {
		return nil // the testbed is this machine: its apt configuration is not ours to change
	}
	var args []string
	eligible := i.Request.TestGit == "" && (len(i.Request.PPAs) == 0 || i.Request.AllProposed)
	if eligible && slices.Contains(i.Pockets, ProposedPocket) {
		var sources []string
		for _, trigger := range i.Request.Triggers {
			name, _, _ := strings.Cut(trigger, "/")
			if trigger != request.Reference && sourceName.MatchString(name) && !slices.Contains(sources, "src:"+name) {
				sources = append(sources, "src:"+name)
			}
		}
		switch {
		case i.Request.AllProposed:
			args = append(args, "--apt-pocket="+ProposedPocket)
		case len(sources) > 0:
			args = append(args, "--apt-pocket="+ProposedPocket+"="+strings.Join(sources, ","))
		}
	}
	return append(args, "--apt-upgrade")
}

// subject is what is tested. autopkgtest would read a word that begins with a dash as an option and one that begins
// with @ as a file of arguments; a request that has passed request.Parse has neither.
func (i Invocation) subject() ([]string, error) {
	args := []string{i.Request.Package}
	switch {
	case i.Source != "":
		args = []string{"--no-built-binaries", strings.TrimSuffix(i.Source, "/") + "/"}
	case i.Request.TestGit != "":
		args = []string{"--no-built-binaries", i.Request.TestGit}
	case i.Request.BuildGit != "":
		args = []string{i.Request.BuildGit}
	}
	if last := args[len(args)-1]; last == "" || strings.ContainsAny(last[:1], "-@") {
		return nil, fmt.Errorf("%w: %q is not a package or a repository", ErrUnsupported, last)
	}
	return args, nil
}

func (i Invocation) environment() []string {
	var args []string
	for _, entry := range i.Request.Env {
		args = append(args, "--env="+entry)
	}
	if len(i.Request.Triggers) > 0 {
		args = append(args, "--env=ADT_TEST_TRIGGERS="+strings.Join(i.Request.Triggers, " "))
	}
	if i.Request.TestName != "" {
		args = append(args, "--testname="+i.Request.TestName)
	}
	return args
}
