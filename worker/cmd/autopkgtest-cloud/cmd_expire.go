package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// shortestEvery keeps a typing error from asking the broker without a pause.
const shortestEvery = time.Second

func (a *app) expireCommand() *cobra.Command {
	var (
		as    administrator
		every time.Duration
	)
	command := &cobra.Command{
		Use:   "expire",
		Short: "Remove the broker's users whose end has come after a rotation",
		Example: `  autopkgtest-cloud expire
  autopkgtest-cloud expire --every 1m`,
		Long: `Remove the broker's users that a rotation has left behind and whose end has
come, and close their connections. A user that goes when nobody uses it is looked
at, and its end moved while somebody does. Users without an end are not touched.

With --every it does so again and again until it is told to stop, as a service
beside the broker; a broker that is away for a while is only mentioned.

` + ownExitCodeHelp,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if command.Flags().Changed("every") {
				if every < shortestEvery {
					return usage("--every is %s, want at least %s", every, shortestEvery)
				}
				ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
				defer stop()
				a.keepExpiring(ctx, as, every)
				return nil
			}
			return a.expire(command.Context(), as)
		},
	}
	command.Flags().DurationVar(&every, "every", 0, "go on, and look once in this time")
	as.flags(command)
	command.Flags().SortFlags = false
	return command
}

func (a *app) expire(ctx context.Context, as administrator) error {
	client, _, err := a.administration(as)
	if err != nil {
		return err
	}
	removed, err := client.Expire(ctx)
	if a.json {
		if removed == nil {
			removed = []string{}
		}
		if failed := a.printJSON(map[string][]string{"removed": removed}); err == nil {
			err = failed
		}
		return err
	}
	for _, user := range removed {
		fmt.Fprintf(a.out, "%s is gone: its end has come.\n", user)
	}
	return err
}

// keepExpiring looks again and again. The administrator's file is read each time: its password may have been changed.
func (a *app) keepExpiring(ctx context.Context, as administrator, every time.Duration) {
	told := ""
	for {
		err := a.expire(ctx, as)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
		case told != err.Error():
			told = err.Error()
			fmt.Fprintf(a.err, "autopkgtest-cloud: %v; trying again every %s\n", err, every)
		}
		if a.pause(ctx, every) != nil {
			return
		}
	}
}
