package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) runningCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "running",
		Short: "Show the tests that run now, with the last line of their logs",
		Long: `Show the tests that run now, with the last line of their logs.

A test's handle is what cancel and requeue take. Tests of workers that are not
ours have none.`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			s, err := a.site()
			if err != nil {
				return err
			}
			runs, err := s.running(command.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(runs)
			}
			t := a.table("PACKAGE", "RELEASE", "ARCH", "FOR", "HANDLE", "TRIGGERS", "REQUESTER", "LOG")
			for _, r := range runs {
				t.row(r.Package, r.Release, r.Architecture, span(time.Duration(r.Duration)*time.Second), r.Handle,
					shorten(strings.Join(r.list("triggers"), " "), 40), r.text("requester"), shorten(r.lastLine(), 60))
			}
			return t.flush()
		},
	}
}
