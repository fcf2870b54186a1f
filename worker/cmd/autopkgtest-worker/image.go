package main

import (
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/cloudimage"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
)

func imageCommand(log *logging) *cobra.Command {
	var (
		path           string
		once, withdraw bool
	)
	command := &cobra.Command{
		Use:   "image",
		Short: "Make a testbed image, prove it with a canary, put it in place, and keep it fresh",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.logger()
			if err != nil {
				return err
			}
			conf, err := config.LoadImage(path)
			if err != nil {
				return usage(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			defer stop()
			switch {
			case withdraw && conf.Cloud == nil:
				return usage(errors.New("--withdraw is for images of clouds; that of a folder is a file"))
			case withdraw:
				return cloudimage.Withdraw(ctx, conf, logger)
			case once && conf.Cloud != nil:
				return cloudimage.Once(ctx, conf, logger)
			case conf.Cloud != nil:
				return cloudimage.Keep(ctx, conf, logger)
			case once:
				return image.Once(ctx, conf, logger)
			}
			return image.Keep(ctx, conf, logger)
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "/etc/autopkgtest-cloud/image.conf", "configuration file")
	command.Flags().BoolVar(&once, "once", false, "build it if it is missing or old, and exit")
	command.Flags().BoolVar(&withdraw, "withdraw", false, "remove it from its clouds, with all that was made for it, and exit")
	command.MarkFlagsMutuallyExclusive("once", "withdraw")
	return command
}
