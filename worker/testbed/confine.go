package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// confinement is a command that runs as root of namespaces of its own: users, processes, mounts, IPC and host name, and
// a network if it asks for one. Root in there is the account outside, with its subordinate ids.
type confinement struct {
	inside insideConfig

	// privileged leaves out the namespace of users, for backends whose tools must be root of this machine: schroot, lxc.
	// The program itself must be root then. All else is as ever: processes, mounts, IPC, host name and network are the
	// run's own, the filter of its network holds, and everything in there is killed when its first process ends.
	//
	// What its command sees is the tree. Without one (inside.Tree is nil) it sees this machine's files, in a mount
	// namespace of its own, but for the folders of inside.Hide. With one, folders that the tools work in (/var/lib/lxc,
	// /var/lib/schroot) are further binds of it, writable, and tree.Privileged brings the devices and control groups that
	// a container's tools need. A bridge that they make is in the run's network and goes with it.
	//
	// Who is root of such a testbed can be root of this machine if he wants to: it is meant for packages that one trusts
	// as far as one's own, and keeps their mistakes in.
	privileged bool

	// gateway is the way out of the run's network if it is not slirp4netns. The filter is then in there, and inside.Network has
	// none.
	gateway *gatewayPlan

	// mark is the folder of the run, by which its processes are known after the death of this one; see RemoveLeftovers.
	mark string

	// plain leaves out everything that changes who the command is or what it can reach: it has processes and mounts of its
	// own, so that it leaves none, and is the account outside. Only root is root in there.
	plain bool

	// ended is called when the command has ended by itself, before its namespaces do; nil for nobody.
	ended func()

	// ahead has namespaces that are ready; nil for none. The command's standard output must be discarded then.
	ahead *ahead

	stdout, stderr io.Writer // nil discards

	// grace is how long the command has after TERM. Then everything in the namespaces is killed.
	grace time.Duration

	log *slog.Logger
}

// confined is what is known of a command that has run.
type confined struct {
	status  exitStatus
	elapsed time.Duration // from its start to its end
}

// errEnded means that the namespaces went away before the command had ended: somebody killed its first process.
var errEnded = errors.New("ended before its command")

// run runs the command and returns when it and every process that it left have gone. The kernel sees to that: when the
// first process of a process namespace ends, it kills all others, and only then can that one be waited for.
//
// When ctx ends the command gets TERM, after the grace everything is killed, and the error is the context's cause; the
// status is then that of the command, if it got that far.
func (c confinement) run(ctx context.Context) (confined, error) {
	c.inside.Privileged, c.inside.Plain = c.privileged, c.plain
	n := c.ahead.take(c)
	if n != nil {
		n.p.said.also(c.stderr)
		if err := n.p.tell(orders{Config: &c.inside}); err != nil {
			n.end(c.log) // it went just now
			n = nil
		}
	}
	if n == nil {
		var err error
		if n, err = c.make(ctx, &c.inside); err != nil {
			return confined{}, err
		}
	}
	defer n.end(c.log)
	result, err := c.attend(ctx, n.p, n.wayOut)
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	return result, err
}

// namespaces are those of one command, with the way out of their network if they have one.
type namespaces struct {
	p       *inside
	wayOut  wayOut // nil for none
	network *insideNetwork
	gateway *gatewayPlan // nil if the way out is another one
}

// make makes namespaces. What the command is may be told later, then config is nil.
func (c confinement) make(ctx context.Context, config *insideConfig) (n *namespaces, err error) {
	n = &namespaces{network: c.inside.Network, gateway: c.gateway}
	if n.p, err = startInside(ctx, c); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.end(c.log)
		}
	}()
	if config != nil {
		if err := n.p.tell(orders{Config: config}); err != nil {
			return n, n.p.explain(err)
		}
	}
	if n.network == nil {
		return n, nil
	}
	way, err := c.connect(ctx, n.p.pid())
	if err != nil {
		return n, n.p.explain(err)
	}
	n.wayOut = way
	if err := n.p.tell(orders{Network: n.network}); err != nil {
		return n, n.p.explain(err)
	}
	return n, nil
}

// end ends everything in the namespaces and returns when it has gone.
func (n *namespaces) end(log *slog.Logger) {
	_ = n.p.cmd.Process.Kill() // destroy waits for it; the other one ends meanwhile
	if n.wayOut != nil {
		n.wayOut.stop(log)
	}
	n.p.destroy(log)
}

// attend waits for the end of the command.
func (c confinement) attend(ctx context.Context, p *inside, way wayOut) (confined, error) {
	var result confined
	var started time.Time
	cancelled := ctx.Done()
	var wayOutGone <-chan struct{} // a run without a network never loses it
	if way != nil {
		wayOutGone = way.gone()
	}
	var graceOver <-chan time.Time
	for {
		select {
		case message := <-p.reports:
			switch {
			case message.Started:
				started = time.Now()
			case message.Exceeded != nil, message.Full != "", message.Error != "":
				result.elapsed = sinceStart(started)
				return result, c.failure(p, message)
			case message.Exit != nil:
				if c.ended != nil {
					c.ended()
				}
				return confined{status: *message.Exit, elapsed: time.Since(started)}, nil
			}
		case <-p.gone:
			// Its last words may still be on their way.
			for message := range p.reports {
				if message.Started {
					started = time.Now()
				}
				if message.Exit != nil {
					return confined{status: *message.Exit, elapsed: sinceStart(started)}, nil
				}
				if message.Exceeded != nil || message.Full != "" || message.Error != "" {
					result.elapsed = sinceStart(started)
					return result, c.failure(p, message)
				}
			}
			return result, p.explain(errEnded)
		case <-wayOutGone:
			return result, fmt.Errorf("the run has lost its network: %s", way.lost())
		case <-cancelled:
			cancelled = nil
			if err := p.tell(orders{Stop: true}); err != nil {
				return result, nil // it is ending already; destroy waits for it
			}
			timer := time.NewTimer(c.grace)
			defer timer.Stop()
			graceOver = timer.C
		case <-graceOver:
			return result, nil
		}
	}
}

// failure is the error that the inside reports.
func (c confinement) failure(p *inside, message report) error {
	switch {
	case message.Exceeded != nil:
		return message.Exceeded
	case message.Full != "":
		return fmt.Errorf("%w: %s", ErrSpace, message.Full)
	}
	return p.explain(errors.New(message.Error))
}

func sinceStart(started time.Time) time.Duration {
	if started.IsZero() {
		return 0
	}
	return time.Since(started)
}

// readReports passes on what the inside says until it has nothing more to say.
func readReports(from io.Reader, to chan<- report) {
	defer close(to)
	for decoder := json.NewDecoder(from); ; {
		var message report
		if decoder.Decode(&message) != nil {
			return
		}
		to <- message
	}
}
