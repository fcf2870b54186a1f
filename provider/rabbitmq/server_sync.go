package rabbitmq

import (
	"context"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// syncExpression makes Mnesia move its log into its tables, for which it waits until all decisions are noted. A node of
// RabbitMQ 4 may keep users and queues elsewhere, where nothing is confirmed before it is on disk.
const syncExpression = "case mnesia:system_info(is_running) of yes -> mnesia:dump_log(); _ -> dumped end."

// Sync makes the node in a stack's folder keep, even if it is killed, what it has confirmed: users, permissions, exchanges
// and queues, with the messages in these.
//
// RabbitMQ confirms such a change when it is in Mnesia's log on disk. That it was decided is a second entry, written by
// another process for which nobody waits, and it may stay in memory for two seconds. A node that is killed in that time
// takes the change for one that was given up: the queue is gone, whatever was confirmed to be in it.
func Sync(ctx context.Context, d *host.Directory) error {
	n, err := configuredNode(d)
	if err != nil {
		return err
	}
	answer, err := control(ctx, d, n, nil, "eval", syncExpression)
	if err == nil && answer != "dumped" {
		err = fmt.Errorf("rabbitmqctl answers %q", answer)
	}
	if err != nil {
		return fmt.Errorf("make the broker write its users and queues to disk: %w", err)
	}
	return nil
}

// Runs says whether a broker, by what its clients know of it, is the node in a stack's folder.
func Runs(d *host.Directory, managementURL, credentialsFile string) bool {
	i := info(d, Settings{})
	return managementURL == i.ManagementURL && credentialsFile == i.CredentialsFile
}
