package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

func (a *app) queuesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "queues",
		Short: "Show the request queues: how many requests wait, how many workers are free for them",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			s, err := a.site()
			if err != nil {
				return err
			}
			queues, err := s.queues(command.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(queues)
			}
			t := a.table("QUEUE", "CONTEXT", "RELEASE", "ARCH", "WAITING", "FREE WORKERS")
			for _, q := range queues {
				t.row(q.Queue, q.Context, q.Release, q.Architecture, strconv.Itoa(q.Ready), strconv.Itoa(q.Consumers))
			}
			return t.flush()
		},
	}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("unexpected argument %q", args[0])
	}
	return nil
}
