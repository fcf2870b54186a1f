package main

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) resultsCommand() *cobra.Command {
	var release, arch, pkg, id string
	var limit int
	command := &cobra.Command{
		Use:   "results",
		Short: "Show results, newest first",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			query := url.Values{}
			for key, value := range map[string]string{"release": release, "arch": arch, "package": pkg, "request": id} {
				if value != "" {
					query.Set(key, value)
				}
			}
			if limit < 1 {
				return usage("--limit %d: want at least 1", limit)
			}
			query.Set("limit", strconv.Itoa(limit))
			s, err := a.site()
			if err != nil {
				return err
			}
			results, err := s.results(command.Context(), query)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"results": append([]siteResult{}, results...)})
			}
			return a.printResults(results)
		},
	}
	flags := command.Flags()
	flags.StringVar(&release, "release", "", "only this `RELEASE`")
	flags.StringVar(&arch, "arch", "", "only this `ARCHITECTURE`")
	flags.StringVar(&pkg, "package", "", "only this source `PACKAGE`")
	flags.StringVar(&id, "request", "", "only the request with this `ID`, which request has printed")
	flags.IntVar(&limit, "limit", 20, "at most so `MANY`")
	// The words of the request command are understood, too.
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "series":
			name = "release"
		case "architecture":
			name = "arch"
		}
		return pflag.NormalizedName(name)
	})
	return command
}

func (a *app) printResults(results []siteResult) error {
	t := a.table("PACKAGE", "VERSION", "RELEASE", "ARCH", "RESULT", "TOOK", "TRIGGERS", "RUN")
	for _, r := range results {
		t.row(r.Package, r.Version, r.Release, r.Architecture, r.Class, span(time.Duration(r.Duration)*time.Second),
			shorten(strings.Join(r.Triggers, " "), 40), r.URL)
	}
	return t.flush()
}
