package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// answersTimeout is how long workers may take to answer. One that is alive takes milliseconds; one that is about to find its
// session again takes seconds.
const answersTimeout = 10 * time.Second

var (
	// errUnknownHandle: workers answered, and none has the request.
	errUnknownHandle = errors.New("no running test has the handle")
	// errDeclined: the worker that has the request does not do it.
	errDeclined = errors.New("the worker does not do it")
)

func (a *app) cancelCommand() *cobra.Command {
	return a.controlCommand(queue.Cancel, "cancelled", "End running tests; each gets a result that says who cancelled it",
		`End running tests. Each gets a result with the exit code of a failed testbed, whose log says who cancelled it.`)
}

func (a *app) requeueCommand() *cobra.Command {
	return a.controlCommand(queue.Requeue, "requeued", "Put running tests back into their queues; nothing is published",
		`Put running tests back into their queues, where the next free worker takes them. Nothing is published.`)
}

func (a *app) controlCommand(verb queue.Verb, done, short, long string) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:     string(verb) + " HANDLE...",
		Short:   short,
		Example: "  autopkgtest-cloud " + string(verb) + " 20261125-152251-ab12cd34",
		Long: long + `

A handle is what "autopkgtest-cloud running" shows in its column HANDLE. The
account must be an operator's, with the right to write to ` + queue.ControlExchange + `.

` + controlExitCodeHelp,
		RunE: func(command *cobra.Command, handles []string) error {
			commands, err := controlCommands(verb, handles)
			if err != nil {
				return err
			}
			if timeout <= 0 {
				return usage("--timeout is %s, want more than nothing", timeout)
			}
			outcomes, err := a.control(command.Context(), commands, timeout)
			if err != nil {
				return err
			}
			return errors.Join(a.printControl(outcomes, done), failure(verb, outcomes, timeout))
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", answersTimeout, "wait no longer than this for the workers' answers")
	command.Flags().StringVar(&a.credentials, "credentials", "", "use the account in `FILE`, not the configuration's")
	command.Flags().SortFlags = false
	return command
}

func controlCommands(verb queue.Verb, handles []string) ([]queue.Command, error) {
	if len(handles) == 0 {
		return nil, usage("no handle is given; `autopkgtest-cloud running` shows them")
	}
	var commands []queue.Command
	for _, handle := range handles {
		c := queue.Command{Verb: verb, Handle: handle}
		if err := c.Validate(); err != nil {
			return nil, &usageError{err}
		}
		if !slices.Contains(commands, c) {
			commands = append(commands, c)
		}
	}
	return commands, nil
}

// controlOutcome is what became of one command.
type controlOutcome struct {
	Handle   string   `json:"handle"`
	OK       bool     `json:"ok"`
	Worker   string   `json:"worker,omitempty"` // that has the request
	Error    string   `json:"error,omitempty"`
	Answered []string `json:"answered"` // the workers that answered, by name
}

// control sends commands and collects answers until the worker of every request has answered or the time is over.
func (a *app) control(ctx context.Context, commands []queue.Command, timeout time.Duration) ([]controlOutcome, error) {
	broker, err := a.broker()
	if err != nil {
		return nil, err
	}
	session, err := a.dial(ctx, broker)
	if err != nil {
		return nil, fmt.Errorf("broker at %s: %w", broker.Address(), err)
	}
	defer func() { _ = session.Close() }()
	asking, stop := context.WithTimeoutCause(ctx, timeout, errWaited)
	defer stop()
	answers, err := session.Ask(asking, commands)
	if err != nil {
		return nil, explainControl(err, broker.Username)
	}
	outcomes := make([]controlOutcome, len(commands))
	for i, c := range commands {
		outcomes[i] = controlOutcome{Handle: c.Handle, Answered: []string{}}
	}
	for open := len(commands); open > 0; {
		answer, more := <-answers
		if !more && asking.Err() == nil {
			return nil, fmt.Errorf("the commands were sent, and the broker was lost before the workers answered: %w", queue.ErrUnreachable)
		}
		if !more {
			break
		}
		i := slices.IndexFunc(outcomes, func(o controlOutcome) bool { return o.Handle == answer.Handle })
		if i < 0 {
			continue
		}
		o := &outcomes[i]
		if !slices.Contains(o.Answered, answer.Worker) {
			o.Answered = append(o.Answered, answer.Worker)
			slices.Sort(o.Answered)
		}
		if o.Worker == "" && answer.Known {
			o.Worker, o.OK, o.Error = answer.Worker, answer.OK, answer.Error
			open--
		} else if o.Worker == "" && answer.Error != "" {
			o.Error = answer.Error
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the command was sent, and what came of it is not known: %w", err)
	}
	return outcomes, nil
}

func explainControl(err error, user string) error {
	switch {
	case errors.Is(err, queue.ErrUnrouted):
		return fmt.Errorf("no worker listens to commands: none runs, or none has a session with the broker: %w", err)
	case errors.Is(err, queue.ErrNoQueue):
		return fmt.Errorf("the broker has no exchanges for commands to workers: they are deployed by autopkgtest_broker: %w", err)
	case errors.Is(err, queue.ErrRefused):
		return fmt.Errorf("the user %s may not command workers: that takes an account with the role operator: %w", user, err)
	}
	return err
}

func (a *app) printControl(outcomes []controlOutcome, done string) error {
	if a.json {
		return a.printJSON(outcomes)
	}
	t := a.table("HANDLE", "WORKER", "OUTCOME")
	for _, o := range outcomes {
		outcome := done
		switch {
		case o.OK:
		case o.Error != "":
			outcome = "failed: " + o.Error
		case len(o.Answered) == 0:
			outcome = "no answer"
		default:
			outcome = "unknown"
		}
		t.row(o.Handle, o.Worker, outcome)
	}
	return t.flush()
}

// failure is why not all is done, nil if it is.
func failure(verb queue.Verb, outcomes []controlOutcome, waited time.Duration) error {
	var failures []error
	for _, o := range outcomes {
		switch {
		case o.OK:
		case len(o.Answered) == 0:
			failures = append(failures, fmt.Errorf("%s %s: no worker answered within %s: %w", verb, o.Handle, waited, errWaited))
		case o.Worker == "" && o.Error == "":
			failures = append(failures, fmt.Errorf("%s %s: %w: within %s, these workers said that they do not have it: %s",
				verb, o.Handle, errUnknownHandle, waited, clean(strings.Join(o.Answered, ", "))))
		default:
			reason := o.Error
			if reason == "" {
				reason = "it gives no reason"
			}
			who := o.Worker
			if who == "" {
				who = strings.Join(o.Answered, ", ")
			}
			failures = append(failures, fmt.Errorf("%s %s: %w: %s: %s", verb, o.Handle, errDeclined, clean(who), clean(reason)))
		}
	}
	return errors.Join(failures...)
}
