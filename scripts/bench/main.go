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
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
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

func run(ctx context.Context, s *stack) (err error) {
	if s.directory == "" {
		return errors.New("-directory is missing: name a folder that does not exist yet and that the services' account can reach")
	}
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()

	var table report.Report
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
		table.Duration(step.what, took, step.limit)
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
	table.Duration("destroy", took, 15*time.Second)
	return table.Print()
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
