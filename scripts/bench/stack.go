package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// stackName is the measured stack's name.
const stackName = "bench"

// stack is one throw-away deployment of the example.
type stack struct {
	terraform, provider, example, directory, imageCache string

	work string // Terraform's working folder: a copy of the example, state and CLI configuration
}

// cliConfig takes the provider as it was built, without an init before each command.
const cliConfig = `provider_installation {
  dev_overrides {
    "registry.terraform.io/autopkgtest-cloud/autopkgtest" = %q
  }
  direct {}
}
`

// prepare makes Terraform's working folder.
func (s *stack) prepare() error {
	if err := absolute(&s.provider, &s.example, &s.directory, &s.imageCache); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "autopkgtest-bench-")
	if err != nil {
		return err
	}
	s.work = work
	files, err := filepath.Glob(filepath.Join(s.example, "*.tf"))
	if err != nil {
		return fmt.Errorf("list *.tf in %s: %w", s.example, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("no *.tf in %s", s.example)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, filepath.Base(file)), content, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(work, "terraformrc"), fmt.Appendf(nil, cliConfig, s.provider), 0o600)
}

// time runs one of Terraform's commands and says how long it took. A plan that is not empty is an error.
func (s *stack) time(ctx context.Context, command string) (time.Duration, error) {
	args := []string{command, "-input=false", "-no-color",
		"-var=stack=" + stackName, "-var=directory=" + s.directory, "-var=image_cache=" + s.imageCache}
	switch command {
	case "plan":
		args = append(args, "-detailed-exitcode")
	default:
		args = append(args, "-auto-approve")
	}
	cmd := exec.CommandContext(ctx, s.terraform, args...)
	cmd.Dir = s.work
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(s.work, "terraformrc"), "CHECKPOINT_DISABLE=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w\n%s", s.terraform, command, err, &output)
	}
	return time.Since(start), nil
}

// remove takes away whatever is left of the stack, also after a failure.
func (s *stack) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := host.Sweep(ctx, s.directory); err != nil {
		return err
	}
	return os.RemoveAll(s.work)
}

// open gives the stack's folder.
func (s *stack) open() (*host.Directory, error) { return host.Open(s.directory, stackName) }
