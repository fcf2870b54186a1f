package testbed

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// Command is a program that needs to be root to work with files of many owners, such as the one that builds an image. It
// runs in namespaces of its own, but unlike a run it sees this machine's files and network: it is for programs that we
// trust. Nothing that it has started outlives it.
type Command struct {
	Name    string // looked for among this machine's commands
	Package string // the Debian package that has it
	Args    []string

	Temporary string // its TMPDIR
	Env       []string

	Output io.Writer // gets what it prints; nil discards

	Grace time.Duration // between TERM and KILL when the context ends
}

// Run runs the command. An exit code other than 0 is an error, which has the end of what it printed to standard error.
func (c Command) Run(ctx context.Context, log *slog.Logger) error {
	path, err := findCommand(c.Name, c.Package)
	if err != nil {
		return err
	}
	var said tailWriter
	stderr := io.Writer(&said)
	if c.Output != nil {
		stderr = teeWriter{c.Output, &said}
	}
	command := confinement{
		inside: insideConfig{Argv: append([]string{path}, c.Args...), Env: append(environment(c.Temporary), c.Env...), Dir: "/"},
		// Root has all owners already.
		privileged: os.Geteuid() == 0, stdout: c.Output, stderr: stderr, grace: c.Grace, log: log,
	}
	done, err := command.run(ctx)
	if err != nil {
		return err
	}
	if code := done.status.shell(); code != 0 {
		return fmt.Errorf("%s ended with %d: %s", c.Name, code, said.String())
	}
	return nil
}
