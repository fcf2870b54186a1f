package host

import (
	"context"
	"os"
	"time"
)

// supervision is what keeps a stack's processes running. It remembers nothing: what is there tells, so each call finishes
// what one before it left unfinished.
type supervision interface {
	// usable says why it cannot be used here, by us.
	usable() error
	// names lists the processes of a service that were ever put into its care, also half-made ones.
	names(root *os.Root, service string) ([]string, error)
	// process is one process of a service, whether it is there or not.
	process(root *os.Root, service, name string) supervisedProcess
	// adopt takes processes into care, whose definitions are complete. From here on they may start.
	adopt(ctx context.Context, root *os.Root, service string, names []string) error
	// life is the state of a process that is kept running: up, or about to be started again. Its moment is another one after each
	// end. false: it is not kept running, or cannot be seen.
	life(root *os.Root, name string) (Status, bool)
	// problem says what is wrong with the supervision as a whole; empty when nothing is.
	problem(all snapshot) string
	// endEverything ends all processes of the stack in good order, and itself as far as it is the stack's own.
	endEverything(ctx context.Context) error
}

// supervisedProcess is one process of a stack as its supervision has it.
type supervisedProcess interface {
	// invalidate makes sure that whatever is started from now on is restarted when all is in place.
	invalidate() error
	// define writes down how the process is started. What it is started with, beside that, is in contents; where neither
	// has changed, a process that runs counts as up to date.
	define(ctx context.Context, p Process, contents [][]byte) error
	// files lists what define has written into the service's folder.
	files() []string
	// settle brings the process up with its definition, and leaves one alone that is.
	settle(ctx context.Context, stopWait time.Duration) (outcome, error)
	// inspect says in words what is wrong; nothing is when it runs with what its definition says. It changes nothing.
	inspect(ctx context.Context, all snapshot) (Status, []string)
	// hide takes it out of care: nothing starts it again. What runs runs on.
	hide(ctx context.Context) error
	// halt ends it and what it left behind. It must be hidden.
	halt(ctx context.Context) error
	// forget removes its definition and its log. It must have been halted.
	forget(ctx context.Context) error
}

// outcome is what had to be done about a process.
type outcome int

const (
	untouched outcome = iota
	started
	restarted
)

// supervision is the one that the stack's mark names.
func (d *Directory) supervision() supervision {
	if d.system {
		return systemd{d}
	}
	return runit{d}
}
