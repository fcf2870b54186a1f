//go:build e2e

// The end-to-end tests apply the examples as users do: with the provider as a program of its own, the real terraform, real
// servers and a real testbed image. They are run by `make test`; whatever is missing is a failure, never a skip.
package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/secrets/scan"
)

// address is the provider's, as configurations write it.
const address = "registry.terraform.io/autopkgtest-cloud/autopkgtest"

// binaries is the folder of the provider, with the services' programs beside it.
func binaries(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("AUTOPKGTEST_TEST_BINARIES")
	if folder == "" {
		t.Fatal("AUTOPKGTEST_TEST_BINARIES is not set: run the tests with make test")
	}
	return folder
}

// program is one of the services' own programs, or a command for people.
func program(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(binaries(t), "linux_"+runtime.GOARCH, name)
}

// newStack names a folder for a stack of the test's own, and ends whatever is in it when the test ends.
func newStack(t *testing.T) string { return hosttest.Folder(t, "") }

// cli is the real terraform in a working folder of its own.
type cli struct {
	t    *testing.T
	work string
	args []string // for every plan, apply and destroy
	env  []string
}

const developerConfiguration = `provider_installation {
  dev_overrides {
    %q = %q
  }
  direct {}
}
`

func newCLI(t *testing.T, arguments ...string) *cli {
	t.Helper()
	c := &cli{t: t, work: t.TempDir(), args: arguments}
	t.Cleanup(func() {
		found, _, err := scan.Tree(c.work) // states, their backups, plans
		for _, place := range found {
			t.Errorf("a generated secret, or a private key, is in %s", place)
		}
		if err != nil {
			t.Error(err)
		}
	})
	rc := filepath.Join(c.work, "terraformrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, developerConfiguration, address, binaries(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	return c
}

// write puts a configuration into the working folder.
func (c *cli) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.work, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// copyExample puts an example's files into the working folder.
func (c *cli) copyExample(folder string) {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no example in %s: %v", folder, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		c.write(filepath.Base(file), string(content))
	}
}

// command prepares terraform with a command of its own.
func (c *cli) command(ctx context.Context, arguments ...string) *exec.Cmd {
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	switch arguments[0] {
	case "apply", "destroy":
		arguments = append(arguments, "-auto-approve")
		fallthrough
	case "plan":
		arguments = append(append(arguments, "-input=false", "-no-color"), c.args...)
	}
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir, cmd.Env = c.work, c.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	return cmd
}

// try runs terraform and returns what it said.
func (c *cli) try(arguments ...string) (string, error) {
	c.t.Helper()
	var out bytes.Buffer
	cmd := c.command(context.Background(), arguments...)
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	c.t.Logf("terraform %s: %s", arguments[0], time.Since(start).Round(10*time.Millisecond))
	return out.String(), err
}

// run is try for what must succeed.
func (c *cli) run(arguments ...string) string {
	c.t.Helper()
	out, err := c.try(arguments...)
	if err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", arguments[0], err, out)
	}
	return out
}

// output is the value of an output.
func (c *cli) output(name string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run("output", "-raw", name))
}

// planIsEmpty fails the test when there is something to do.
func (c *cli) planIsEmpty() {
	c.t.Helper()
	out, err := c.try("plan", "-detailed-exitcode")
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		c.t.Errorf("the plan is not empty:\n%s", out)
	case err != nil:
		c.t.Errorf("plan: %v\n%s", err, out)
	}
}

// nothingIsLeft fails the test when something of a stack outlives its destruction.
func nothingIsLeft(t *testing.T, directory string) {
	t.Helper()
	if _, err := os.Lstat(directory); err == nil {
		found, _ := filepath.Glob(filepath.Join(directory, "*", "*"))
		t.Errorf("the stack's folder %s is still there, with %q", directory, found)
	}
	if pids := processes(directory, ""); len(pids) > 0 {
		t.Errorf("the stack's processes %v still run", pids)
	}
}

// processes finds the processes of a stack by their marks.
func processes(directory, name string) []int { return hosttest.Processes(directory, name) }

// passwordsOf collects the passwords in a stack's credentials files.
func passwordsOf(t *testing.T, directory string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(directory, "credentials", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no credentials in %s: %v", directory, err)
	}
	var passwords []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		password := ""
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch value = strings.Trim(strings.TrimSpace(value), "'"); {
			case strings.TrimSpace(key) == "password":
				password = value
			case strings.HasPrefix(value, "amqp://"):
				_, rest, _ := strings.Cut(strings.TrimPrefix(value, "amqp://"), ":")
				password, _, _ = strings.Cut(rest, "@")
			}
		}
		if len(password) < 20 {
			t.Fatalf("no password in %s", path)
		}
		passwords = append(passwords, password)
	}
	return passwords
}

// holdNone fails the test when one of the texts has one of the passwords.
func holdNone(t *testing.T, passwords []string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		if text == "" {
			t.Errorf("%s is empty, so nothing was checked", name)
		}
		for _, password := range passwords {
			if strings.Contains(text, password) {
				t.Errorf("%s holds a password", name)
			}
		}
	}
}
