// Command bench measures the promises about time and memory on a real stack of examples/local, and prints each beside its
// limit: apply with packages and image present, no-op plan, kill -9 of every process until it serves again, resident
// memory of our idle processes, destroy.
//
// The machine may be shared and noisy: a figure is a measurement of this run, a limit is the promise. It exits with 1 if
// a limit is exceeded. `make bench` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	var s stack
	flag.StringVar(&s.terraform, "terraform", "terraform", "Terraform or OpenTofu binary")
	flag.StringVar(&s.provider, "provider", "build/bin", "folder with the provider's binary")
	flag.StringVar(&s.example, "example", "examples/local", "folder with the example's configuration")
	flag.StringVar(&s.directory, "directory", "", "the stack's folder; must not exist yet")
	flag.StringVar(&s.imageCache, "image-cache", "build/cache", "folder with testbed images of earlier builds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errLimit = errors.New("a limit was exceeded")

func run(ctx context.Context, s *stack) (err error) {
	if s.directory == "" {
		return errors.New("-directory is missing: name a folder that does not exist yet and that the services' account can reach")
	}
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()

	var table report
	// The first apply fills the image cache, so that the second one measures what is promised: everything is present.
	fmt.Fprintln(os.Stderr, "filling the image cache")
	for _, step := range []string{"apply", "destroy"} {
		if _, err := s.time(ctx, step); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		command, what string
		limit         time.Duration
	}{
		{"apply", "apply, packages and image present, to all services healthy", 60 * time.Second},
		{"plan", "plan without changes", 2 * time.Second},
	} {
		took, err := s.time(ctx, step.command)
		if err != nil {
			return err
		}
		table.duration(step.what, took, step.limit)
	}
	if err := measureMemory(ctx, s, &table); err != nil {
		return err
	}
	if err := measureKills(ctx, s, &table); err != nil {
		return err
	}
	took, err := s.time(ctx, "destroy")
	if err != nil {
		return err
	}
	table.duration("destroy", took, 15*time.Second)
	return table.print()
}

// report collects rows of measured values beside their limits.
type report struct {
	rows     [][4]string
	exceeded bool
}

func (r *report) add(what, value, limit string, ok bool) {
	verdict := "ok"
	if !ok {
		verdict, r.exceeded = "EXCEEDED", true
	}
	r.rows = append(r.rows, [4]string{what, value, limit, verdict})
	fmt.Fprintf(os.Stderr, "%s: %s (limit %s) %s\n", what, value, limit, verdict)
}

func (r *report) duration(what string, took, limit time.Duration) {
	r.add(what, took.Round(10*time.Millisecond).String(), limit.String(), took <= limit)
}

func (r *report) print() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tlimit\t")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row[0], row[1], row[2], row[3])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.exceeded {
		return errLimit
	}
	return nil
}

func absolute(paths ...*string) error {
	for _, path := range paths {
		full, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = full
	}
	return nil
}
