// Package ssh is the backend whose testbeds are other machines, reached by ssh: a set-up script makes one, for instance a
// server of a cloud, and says how to log in to it. What such testbeds can do is the script's to say.
//
// autopkgtest runs on this machine and on its network, because that is how the script reaches its cloud; the tests do not.
// The script is started through another one that keeps account of what was opened: when a run ends without autopkgtest
// closing it, or the worker dies, the account tells what there is to be cleaned up.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "ssh"

// Where a run finds the keeper of the account, and the account.
const (
	keeperPath    = "/backend/keeper"
	accountFolder = "/backend/account"
	openFile      = "open" // there while something is; holds the script's state
)

// shipped is where autopkgtest has its own set-up scripts.
const shipped = "/usr/share/autopkgtest/ssh-setup"

type backend struct{}

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
	_ testbed.Cleaner   = backend{}
)

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

// Arguments are the operator's, with the keeper in the place of the script.
func (backend) Arguments(t testbed.Testbed) []string {
	args, _ := replaceScript(t.Given)
	return append([]string{Name}, args...)
}

// Properties declare no capabilities: they come from the set-up script, and the canary finds them.
func (backend) Properties() testbed.Properties {
	return testbed.Properties{Commands: map[string]string{"ssh": "openssh-client"}, Imageless: true, OnMachine: true}
}

var errArguments = errors.New("it needs a set-up script or a host: ssh -s SCRIPT -- OPTIONS OF THE SCRIPT, or ssh -H HOST")

func (backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	args, script := replaceScript(t.Given)
	if script == "" {
		if !slices.ContainsFunc(args, func(a string) bool { return a == "-H" || strings.HasPrefix(a, "--hostname") }) {
			return testbed.Furniture{}, errArguments
		}
		return testbed.Furniture{}, nil
	}
	if info, err := os.Stat(script); err != nil || info.Mode()&0o111 == 0 {
		return testbed.Furniture{}, fmt.Errorf("the set-up script %s is not there or cannot be executed (%w)", script,
			errors.Join(err, errArguments))
	}
	return testbed.Furniture{
		Files: map[string]string{keeperPath: keeper(script)}, Folders: []string{accountFolder},
		Shows: map[string]string{script: script}, Environment: credentials(),
	}, nil
}

// replaceScript puts the keeper in the place of the set-up script, whose path it returns; empty for none. Behind `--` there
// are the script's own arguments.
func replaceScript(given []string) (args []string, script string) {
	args = slices.Clone(given)
	for i, arg := range args {
		switch {
		case arg == "--":
			return args, script
		case (arg == "-s" || arg == "--setup-script") && i+1 < len(args):
			script, args[i+1] = find(args[i+1]), keeperPath
		case strings.HasPrefix(arg, "--setup-script="):
			script, args[i] = find(strings.TrimPrefix(arg, "--setup-script=")), "--setup-script="+keeperPath
		}
	}
	return args, script
}

// find is the path of a script; one without a slash is one of autopkgtest's.
func find(script string) string {
	if strings.Contains(script, "/") {
		return script
	}
	return filepath.Join(shipped, script)
}

// scriptArguments are the set-up script's own.
func scriptArguments(given []string) []string {
	if i := slices.Index(given, "--"); i >= 0 {
		return given[i+1:]
	}
	return nil
}

// credentials are the variables by which clients of OpenStack log in. They are for the script: tests run elsewhere.
func credentials() []string {
	var out []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "OS_") {
			out = append(out, entry)
		}
	}
	return out
}

// keeper is a set-up script that calls another one. Before that opens anything there is an account, and afterwards the
// account has the state that it wants to be given back.
func keeper(script string) string {
	return `#!/bin/sh
script=` + quote(script) + `
account=` + accountFolder + "/" + openFile + `
case $1 in
open | revert)
    [ -e "$account" ] || : >"$account"
    said=$("$script" "$@")
    code=$?
    state=$(printf '%s\n' "$said" | sed -n 's/^extraopts=//p' | tail -n 1)
    [ -z "$state" ] || printf '%s' "$state" >"$account"
    printf '%s\n' "$said"
    exit $code
    ;;
cleanup)
    "$script" "$@" || exit
    rm -f "$account"
    ;;
*)
    exec "$script" "$@"
    ;;
esac
`
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// Clean has the set-up script clean up, if something is open still.
func (backend) Clean(ctx context.Context, of testbed.Remains) error {
	account := filepath.Join(of.Folders[accountFolder], openFile)
	state, err := os.ReadFile(account)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what a set-up script has made: %w", err)
	}
	_, script := replaceScript(of.Testbed.Given)
	args := append([]string{"cleanup"}, scriptArguments(of.Testbed.Given)...)
	args = append(args, strings.Fields(string(state))...)
	command := exec.CommandContext(ctx, script, args...)
	command.Env = append(testbed.Environment("/tmp"), credentials()...)
	command.Dir = "/"
	command.WaitDelay = 5 * time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s cleanup: %w: %s", script, err, strings.TrimSpace(string(out)))
	}
	return os.Remove(account)
}
