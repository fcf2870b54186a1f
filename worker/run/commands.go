package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// The errors of Cancel and Requeue.
var (
	// ErrNotHere: the worker has no request with this handle in work.
	ErrNotHere = errors.New("no request with this handle is in work on this worker")
	// ErrTooLate: the test has ended, and its result is on its way.
	ErrTooLate = errors.New("the test has ended: its result is being stored")
)

// interruptible are the states in which a command is obeyed: until there is a result.
var interruptible = map[State]bool{Accept: true, Wait: true, Prepare: true, Run: true}

// command is what an operator wants of a life, by being its next state.
type command struct {
	to State // Abort or Handback
	by string
}

// Cancel ends a running test, or one that is about to run. Its request ends in a readable result that says who did that.
func (w *Worker) Cancel(handle, by string) error {
	if err := w.command(handle, command{Abort, by}); err != nil {
		return fmt.Errorf("cancel %s: %w", handle, err)
	}
	return nil
}

// Requeue ends a running test, or one that is about to run, and puts its request back into its queue. Nothing is published.
func (w *Worker) Requeue(handle, by string) error {
	if err := w.command(handle, command{Handback, by}); err != nil {
		return fmt.Errorf("requeue %s: %w", handle, err)
	}
	return nil
}

func (w *Worker) command(handle string, c command) error {
	c.by = printable(c.by)
	w.mu.Lock()
	var target *life
	for l := range w.lives {
		if l.id == handle {
			target = l
		}
	}
	w.mu.Unlock()
	if target == nil {
		return ErrNotHere
	}
	return target.obey(c)
}

// printable is a name for a log and a result: outside text, though from an authenticated user.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(name, ""))
	if name = strings.TrimSpace(name); name == "" {
		return "somebody"
	}
	return head([]byte(name))
}

// obey notes a command down and interrupts the state that the life is in.
func (l *life) obey(c command) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.settled:
		return ErrTooLate
	case l.ordered != nil:
		return fmt.Errorf("%s has ended it already", l.ordered.by)
	}
	l.ordered = &c
	if l.interrupt != nil {
		l.interrupt()
	}
	return nil
}

// interrupted runs a step such that a command ends it, and says what follows. A command that comes when the step has just
// ended counts, too, unless there is nothing left to end: the request is malformed, or its result was found. After that, and
// out of every other state, it is too late.
func (l *life) interrupted(ctx context.Context, at State) State {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	if interruptible[at] {
		l.interrupt = cancel
		if l.ordered != nil {
			cancel()
		}
	}
	l.mu.Unlock()
	next := steps[at](l, within)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	if interruptible[at] && l.ordered != nil && ctx.Err() == nil && next != Reject && next != Announce {
		next = l.ordered.to
		l.log.Info("an operator ends the request", "by", l.ordered.by, "then", next)
	}
	if !interruptible[next] {
		l.settled = true
	}
	return next
}
