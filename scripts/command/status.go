package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Status is the command that shows the processes of any stack.
func Status() *cobra.Command {
	return &cobra.Command{
		Use:   "status PATH",
		Short: "Show the processes of a stack",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return ShowStatus(command.Context(), command.OutOrStdout(), arguments[0])
		},
	}
}

// ShowStatus writes a table of the processes of the stack in the folder, and what is wrong with them.
func ShowStatus(ctx context.Context, w io.Writer, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	name, err := readMark(path)
	if err != nil {
		return err
	}
	d, err := host.Open(path, name)
	if err != nil {
		return err
	}
	services, err := d.Services()
	if err != nil {
		return err
	}
	found := map[string]host.Inspection{}
	for _, service := range services {
		if found[service], err = d.Inspect(ctx, service); err != nil {
			return err
		}
	}
	return table(w, found, time.Now())
}

// table writes one line for each process, and after them what is wrong.
func table(w io.Writer, services map[string]host.Inspection, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tPROCESS\tSTATE\tPID\tSINCE")
	names := slices.Sorted(maps.Keys(services))
	for _, name := range names {
		processes := services[name].Processes
		for _, process := range slices.Sorted(maps.Keys(processes)) {
			p := processes[process]
			state, pid, since := "down", "-", "-"
			if p.Up {
				state, pid = "up", fmt.Sprint(p.PID)
			}
			if !p.Since.IsZero() {
				since = now.Sub(p.Since).Round(time.Second).String()
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", name, process, state, pid, since)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		for _, problem := range services[name].Problems {
			if _, err := fmt.Fprintf(w, "%s: %s\n", name, problem); err != nil {
				return err
			}
		}
	}
	return nil
}

// readMark is the name of the stack in the folder.
func readMark(path string) (string, error) {
	content, err := os.ReadFile(filepath.Join(path, "stack.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", path, host.ErrAbsent)
	}
	if err != nil {
		return "", fmt.Errorf("read the stack's mark: %w", err)
	}
	var mark struct {
		Stack string `json:"stack"`
	}
	if err := json.Unmarshal(content, &mark); err != nil {
		return "", fmt.Errorf("read the stack's mark in %s: %w", path, err)
	}
	return cmp.Or(mark.Stack, "?"), nil
}
