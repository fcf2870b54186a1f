package main

import (
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
)

func imageCommand(log *logging) *cobra.Command {
	var (
		path string
		once bool
	)
	command := &cobra.Command{
		Use:   "image",
		Short: "Build a testbed image, prove it with a canary, swap it in, and keep it fresh",
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
			if once {
				return image.Once(ctx, conf, logger)
			}
			return image.Keep(ctx, conf, logger)
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "/etc/autopkgtest-cloud/image.conf", "configuration file")
	command.Flags().BoolVar(&once, "once", false, "build it if it is missing or old, and exit")
	return command
}
