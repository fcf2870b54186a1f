package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

const (
	// defaultQueueDrain covers short tests. Whoever retires a release with long ones chooses a time of his own.
	defaultQueueDrain = 10 * time.Minute
	// drainInterval is how often the broker is asked, with one call, for what is left.
	drainInterval = time.Second
	// drainStall is how long nothing may run and nobody take anything. A worker that is free takes a request within
	// milliseconds; one that comes back from a restart needs some seconds.
	drainStall = 30 * time.Second
)

// errMessages: requests stand in a queue that is to go.
var errMessages = errors.New("requests would be lost")

// drain is how queues are emptied before they are removed: by the workers, who go on taking from them.
//
// A queue is not closed in the meantime. The broker knows of one means to that end, a policy of length 0 that rejects what
// is published; when it takes effect it drops what stands in the queue (seen with RabbitMQ 3.10), and of what is rejected
// afterwards, a gatekeeper that asks for no confirms learns nothing. What goes on coming keeps the queue, and says so.
type drain struct {
	loss  bool          // requests may be lost: nothing is waited for
	limit time.Duration // how long to wait
	stall time.Duration // how long nobody may take any
}

// drainOf reads a model.
func drainOf(m *requestQueuesModel) drain {
	d := drain{loss: m.AllowMessageLoss.ValueBool(), limit: defaultQueueDrain, stall: drainStall}
	if text := m.DrainTimeout.ValueString(); text != "" {
		d.limit = durationOf(m.DrainTimeout)
	}
	if d.loss {
		d.limit = 0
	}
	return d
}

// remove empties the queues and removes them; none is removed before all are empty. That one is empty is seen twice: the
// listing has what workers hold, the broker's own check, in the moment of the removal, has what came since. A request that
// came and was taken between the two is finished by its worker all the same: its acknowledgement then says nothing new.
func (d drain) remove(ctx context.Context, client *management.Client, names []string) error {
	if len(names) == 0 {
		return nil
	}
	begin := time.Now()
	for {
		if err := d.await(ctx, client, names, begin); err != nil {
			return err
		}
		err := deleteQueues(ctx, client, names, !d.loss)
		if !errors.Is(err, management.ErrRefused) || d.loss {
			return err
		}
		if time.Since(begin) >= d.limit {
			return errors.Join(errMessages, err)
		}
	}
}

func deleteQueues(ctx context.Context, client *management.Client, names []string, onlyEmpty bool) error {
	for _, name := range names {
		if err := client.DeleteQueue(ctx, name, onlyEmpty); err != nil {
			return err
		}
	}
	return nil
}

// await returns when nothing is left in the queues, or with an error that says what is.
func (d drain) await(ctx context.Context, client *management.Client, names []string, begin time.Time) error {
	if d.loss {
		return nil
	}
	ticker := time.NewTicker(drainInterval)
	defer ticker.Stop()
	var last contents
	moved := begin
	for {
		left, err := contentsOf(ctx, client, names)
		if err != nil {
			return err
		}
		waited := time.Since(begin)
		if left.running > 0 || left.messages < last.messages || last.queues == nil {
			moved = time.Now()
		}
		last = left
		switch {
		case left.messages == 0:
			return nil
		case waited >= d.limit:
			return left.problem(d.limit, fmt.Sprintf("The apply waited %s for the workers to finish them.", d.limit))
		case time.Since(moved) >= d.stall:
			return left.problem(d.limit, fmt.Sprintf("None of them is running, and for %s nobody has taken any: "+
				"do workers for these queues run?", d.stall))
		}
		tflog.Info(ctx, "wait for workers to empty queues", map[string]any{"left": left.String(), "waited": waited.String()})
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for the workers to finish the requests in %s: %w", waited.Round(time.Second), left,
				context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// contents are what stands in queues.
type contents struct {
	queues   []string // those with something in them, in words
	messages int
	running  int
}

func contentsOf(ctx context.Context, client *management.Client, names []string) (contents, error) {
	queues, err := client.Queues(ctx)
	if err != nil {
		return contents{}, err
	}
	c := contents{queues: []string{}}
	for _, name := range names {
		c.add(queues[name])
	}
	return c, nil
}

func (c *contents) add(q management.Queue) {
	if q.Messages == 0 {
		return
	}
	text := plural(q.Messages, "request", "requests")
	if q.Running > 0 {
		text += fmt.Sprintf(", %d running", q.Running)
	}
	c.queues = append(c.queues, q.Name+" ("+text+")")
	c.messages += q.Messages
	c.running += q.Running
}

// String lists them.
func (c contents) String() string { return strings.Join(c.queues, ", ") }

// problem is why the queues cannot go.
func (c contents) problem(limit time.Duration, what string) error {
	way := "raise drain_timeout"
	if limit == 0 {
		way = "set drain_timeout, for which an apply waits"
	}
	return &problem{
		title: "Requests stand in " + c.String(),
		detail: strings.TrimSpace(what + " Whoever sent them would wait for their results for ever, so the queues stay. Stop " +
			"whoever sends more, and let the workers finish these (" + way + "), or say that they may be lost with " +
			"allow_message_loss = true (before a destroy, apply that)."),
		err: errMessages,
	}
}

// retiring is what a plan knows of queues that are to go.
type retiring struct {
	names  []string // wanted no more
	wanted []string // of these, the ones that somebody has declared otherwise go as well, to be made anew
	drain  drain
	where  path.Path
}

// plan says how many requests stand in them: as an error when nothing is going to wait for them, else as a warning. A broker
// that does not answer is no obstacle to a plan: the apply looks again.
func (r retiring) plan(ctx context.Context, s *settings, m *requestQueuesModel, diags *diag.Diagnostics) {
	if r.drain.loss || len(r.names) == 0 && len(r.wanted) == 0 {
		return
	}
	client, err := s.broker(ctx, brokerOf(ctx, m.Broker))
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	queues, err := client.Queues(ctx)
	if err != nil {
		return
	}
	var left contents
	for _, name := range slices.Concat(r.names, r.wanted) {
		if q := queues[name]; !q.Plain || slices.Contains(r.names, name) {
			left.add(q)
		}
	}
	switch {
	case left.messages == 0:
	case r.drain.limit == 0:
		explain(diags, "Cannot remove request queues", at(r.where, left.problem(0, "")))
	default:
		diags.AddAttributeWarning(r.where, "Requests stand in queues that are to go",
			fmt.Sprintf("In %s. The apply waits up to %s (drain_timeout) for the workers to finish them, and removes nothing when "+
				"some are left. Stop whoever requests tests there first: what is sent to a queue that is gone vanishes, and its "+
				"sender is told nothing.", left, r.drain.limit))
	}
}

// withoutVHost puts an error about what the broker lacks at the attribute.
func withoutVHost(err error) error {
	if !errors.Is(err, management.ErrNoVHost) {
		return err
	}
	return at(path.Root("broker"), &problem{
		title: "The broker has no virtual host " + management.VHost,
		detail: "All clients of a test cloud use that one. Make it anew, on the broker's machine with rabbitmqctl add_vhost " +
			management.VHost + ", give its users their rights there, and apply again. What was in it is lost.",
		err: err,
	})
}
