package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are what a round needs beside the services.
type programs struct {
	worker   string // the real one, with a clock that can be shifted
	checkout string // with the stub in the place of autopkgtest
}

const module = "github.com/autopkgtest-cloud/autopkgtest-cloud"

// buildPrograms builds them below a folder that the workers' account can read. The compiler's cache makes all but the first
// time cheap.
func buildPrograms(ctx context.Context, folder string) (programs, error) {
	p := programs{worker: filepath.Join(folder, "autopkgtest-worker"), checkout: filepath.Join(folder, "checkout")}
	overlayFolder := filepath.Join(folder, "overlay")
	if err := os.Mkdir(overlayFolder, 0o700); err != nil {
		return programs{}, err
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return programs{}, fmt.Errorf("go env GOROOT: %w", err)
	}
	overlay, err := clockOverlay(strings.TrimSpace(string(goroot)), overlayFolder)
	if err != nil {
		return programs{}, err
	}
	if err := build(ctx, p.worker, "./worker/cmd/autopkgtest-worker", "-overlay", overlay); err != nil {
		return programs{}, err
	}
	return p, build(ctx, filepath.Join(p.checkout, "runner", "autopkgtest"), "./scripts/chaos/autopkgtest")
}

func build(ctx context.Context, to, what string, flags ...string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	what = module + strings.TrimPrefix(what, ".")
	command := exec.CommandContext(ctx, "go", append(append([]string{"build"}, flags...), "-o", to, what)...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", what, err, out)
	}
	return nil
}
