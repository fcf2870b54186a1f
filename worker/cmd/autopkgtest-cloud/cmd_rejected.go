package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func (a *app) rejectedCommand() *cobra.Command {
	var requeue, drop []string
	command := &cobra.Command{
		Use:   "rejected",
		Short: "Show requests that could never be run, put them back into their queues, or drop them",
		Example: `  autopkgtest-cloud rejected
  autopkgtest-cloud rejected --requeue 1f2e3d4c5b6a
  autopkgtest-cloud rejected --drop 1f2e3d4c5b6a,1f2e3d4c5b6a-2`,
		Long: `Show the requests that workers could never run, with the reason. They stay in the
queue ` + queue.RejectedQueue + ` until they are put back or dropped.

Putting back first publishes the request to the queue that it came from, and
removes it here when the broker has confirmed that: whatever breaks in between,
it is in one of the two queues, or in both. One that is still wrong is rejected
again. Looking holds the requests for a moment and gives them back.

What looks like a password is hidden; --json shows requests as they are. The
account must be an operator's, with the right to read ` + queue.RejectedQueue + `.

` + ownExitCodeHelp,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			chosen, err := chooseRejected(requeue, drop)
			if err != nil {
				return err
			}
			return a.rejected(command.Context(), chosen)
		},
	}
	command.Flags().StringSliceVar(&requeue, "requeue", nil, "put the request with this `ID` back; may be repeated")
	command.Flags().StringSliceVar(&drop, "drop", nil, "forget the request with this `ID`; may be repeated")
	command.Flags().StringVar(&a.credentials, "credentials", "", "use the account in `FILE`, not the configuration's")
	command.Flags().SortFlags = false
	return command
}

// errUnknownRejected: no request that was kept has the id.
var errUnknownRejected = errors.New("no rejected request has the id")

// errNoRequestQueue: what a rejected request says of its origin is not the name of a request queue.
var errNoRequestQueue = errors.New("it does not come from a request queue")

// chooseRejected is what is to be done with which: id → whether it is put back.
func chooseRejected(requeue, drop []string) (map[string]bool, error) {
	chosen := map[string]bool{}
	for _, id := range requeue {
		chosen[id] = true
	}
	for _, id := range drop {
		if chosen[id] {
			return nil, usage("%s is to be put back, and to be dropped", id)
		}
		chosen[id] = false
	}
	return chosen, nil
}

// kept is a rejected request that the broker has given to us, until it is removed or the session ends.
type kept struct {
	ID       string    `json:"id"`
	Rejected time.Time `json:"rejected,omitzero"` // zero when it does not say
	Queue    string    `json:"queue"`
	Reason   string    `json:"reason"`
	Worker   string    `json:"worker"`
	Body     string    `json:"body"`
	Outcome  string    `json:"outcome,omitempty"` // requeued, dropped, or nothing for one that stays

	request queue.Rejected
	remove  func() error
}

// rejected shows all requests, or does what was chosen with some of them and shows these.
func (a *app) rejected(ctx context.Context, chosen map[string]bool) error {
	broker, err := a.broker()
	if err != nil {
		return err
	}
	session, err := a.dial(ctx, broker)
	if err != nil {
		return fmt.Errorf("broker at %s: %w", broker.Address(), err)
	}
	defer func() { _ = session.Close() }() // what is held goes back to its old place
	all, err := holdRejected(ctx, session)
	if err != nil {
		return explainRejected(err, broker.Username)
	}
	if len(chosen) == 0 {
		return a.printRejected(all)
	}
	some, err := pick(all, chosen)
	if err != nil {
		return err
	}
	err = settleRejected(ctx, session, some, chosen)
	return errors.Join(a.printRejected(some), err)
}

// holdRejected takes all that is in the queue, without removing anything. What comes meanwhile is for the next time.
func holdRejected(ctx context.Context, session publisher) ([]*kept, error) {
	ready, _, err := session.Depth(ctx, queue.RejectedQueue)
	if err != nil {
		return nil, err
	}
	var all []*kept
	for range ready {
		d, found, err := session.Get(ctx, queue.RejectedQueue)
		if err != nil {
			return nil, err
		}
		if !found {
			break // somebody else looks as well
		}
		all = append(all, keep(queue.RejectedOf(d), d.Ack))
	}
	tellApart(all)
	return all, nil
}

func keep(r queue.Rejected, remove func() error) *kept {
	return &kept{
		ID: r.ID(), Rejected: r.Time, Queue: r.Queue, Reason: r.Reason, Worker: r.Worker, Body: string(r.Body),
		request: r, remove: remove,
	}
}

// tellApart numbers requests that do not differ in anything. Which of them is the first does not matter.
func tellApart(all []*kept) {
	seen := map[string]int{}
	for _, k := range all {
		id := k.ID
		if seen[id]++; seen[id] > 1 {
			k.ID = fmt.Sprintf("%s-%d", id, seen[id])
		}
	}
}

// pick finds the chosen ones. When one is missing or cannot be put back, nothing is done with any.
func pick(all []*kept, chosen map[string]bool) (some []*kept, err error) {
	found := map[string]bool{}
	for _, k := range all {
		back, wanted := chosen[k.ID]
		if !wanted {
			continue
		}
		found[k.ID] = true
		some = append(some, k)
		if _, wrong := request.ParseQueue(k.Queue); back && wrong != nil {
			// Anybody who may request could have put it there, to have us publish to other queues.
			err = errors.Join(err, fmt.Errorf("%s cannot be put back: %w but, so it says, from %q; send it anew with "+
				"`autopkgtest-cloud request`, and drop this one", k.ID, errNoRequestQueue, clean(k.Queue)))
		}
	}
	for id := range chosen {
		if !found[id] {
			err = errors.Join(err, fmt.Errorf("%w %s: `autopkgtest-cloud rejected` shows those that there are", errUnknownRejected,
				clean(id)))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was done: %w", err)
	}
	return some, nil
}

// settleRejected puts requests back, or drops them. It ends with the first that fails; the rest stays.
func settleRejected(ctx context.Context, session publisher, some []*kept, chosen map[string]bool) error {
	for _, k := range some {
		if chosen[k.ID] {
			if err := session.Publish(ctx, "", k.Queue, k.request.Body, true); err != nil {
				return fmt.Errorf("put %s back into %s: it is still here: %w", k.ID, k.Queue, err)
			}
			k.Outcome = "requeued"
		}
		if err := k.remove(); err != nil {
			if k.Outcome != "" {
				return fmt.Errorf("%s is in %s again, but could not be removed here: drop it: %w", k.ID, k.Queue, err)
			}
			return fmt.Errorf("drop %s: %w", k.ID, err)
		}
		if k.Outcome == "" {
			k.Outcome = "dropped"
		}
	}
	return nil
}

func explainRejected(err error, user string) error {
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		return fmt.Errorf("the broker has no queue for rejected requests: it is deployed by autopkgtest_broker: %w", err)
	case errors.Is(err, queue.ErrRefused):
		return fmt.Errorf("the user %s may not read rejected requests: that takes an account with the role operator; one that was "+
			"made before operators could needs another apply of autopkgtest_broker_user: %w", user, err)
	}
	return err
}

// How much of outside text a line has.
const (
	reasonWidth = 70
	bodyWidth   = 70
)

func (a *app) printRejected(all []*kept) error {
	if a.json {
		if all == nil {
			all = []*kept{}
		}
		return a.printJSON(all)
	}
	t := a.table("ID", "OUTCOME", "REJECTED", "QUEUE", "REASON", "REQUEST")
	for _, k := range all {
		at := ""
		if !k.Rejected.IsZero() {
			at = k.Rejected.UTC().Format(time.RFC3339)
		}
		outcome := k.Outcome
		if outcome == "" {
			outcome = "kept"
		}
		body := strings.Join(strings.Fields(strings.ToValidUTF8(k.Body, " ")), " ")
		t.row(k.ID, outcome, at, k.Queue, shorten(request.HideSecrets(k.Reason), reasonWidth),
			shorten(request.HideSecrets(body), bodyWidth))
	}
	return t.flush()
}
