package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// ensureRejected makes the queue that keeps requests which can never be run, and has its exchange send to it. What lies in
// the queue is kept, whatever is wrong with it.
func ensureRejected(ctx context.Context, client *management.Client) error {
	queues, err := client.Queues(ctx)
	if err != nil {
		return err
	}
	if queue, there := queues[management.RejectedQueue]; there && !queue.Plain {
		if err := client.DeleteQueue(ctx, queue.Name, true); err != nil {
			return notReplaced(queue, err)
		}
	}
	if err := client.DeclareQueue(ctx, management.RejectedQueue); err != nil {
		return err
	}
	return client.Bind(ctx, management.RejectedExchange, management.RejectedQueue)
}

// notReplaced explains a queue with other settings that cannot go, because it holds something.
func notReplaced(queue management.Queue, err error) error {
	if !errors.Is(err, management.ErrRefused) {
		return err
	}
	return &problem{
		title: fmt.Sprintf("The queue %s has other settings than it should, and holds %s", queue.Name,
			plural(queue.Messages, "request", "requests")),
		detail: "It may lose some of them, and to make it anew would lose them all. Look at them with the broker's management " +
			"page, empty the queue there, and apply again.",
		err: err,
	}
}

// rejectedProblem is what is wrong with the queue, empty if nothing is. The exchange must be there.
func rejectedProblem(ctx context.Context, client *management.Client) (string, error) {
	queues, err := client.Queues(ctx)
	if err != nil {
		return "", err
	}
	const name = management.RejectedQueue
	queue, there := queues[name]
	switch {
	case !there:
		return "the queue " + name + " is missing", nil
	case !queue.Plain:
		return "the queue " + name + " has other settings than a queue that keeps all", nil
	}
	bound, err := client.Bound(ctx, management.RejectedExchange, name)
	if err != nil || bound {
		return "", err
	}
	return "the queue " + name + " is not bound to the exchange " + management.RejectedExchange, nil
}

// removeRejected removes the queue unless something is in it: somebody sent that and waits.
func removeRejected(ctx context.Context, c *call[brokerResourceModel], client *management.Client) error {
	err := client.DeleteQueue(ctx, management.RejectedQueue, true)
	if errors.Is(err, management.ErrRefused) {
		c.diags.AddWarning("The queue "+management.RejectedQueue+" stays in the broker",
			"It holds requests that could not be run, for somebody to look at.")
		return nil
	}
	return err
}
