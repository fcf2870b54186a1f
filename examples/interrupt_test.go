//go:build e2e

package examples

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serversOnly has what takes long to start, and something in it.
func serversOnly(directory string) string {
	return `
terraform {
  required_providers {
    autopkgtest = {
      source = "` + address + `"
    }
  }
}

provider "autopkgtest" {
  stack     = "acc"
  directory = "` + directory + `"
}

resource "autopkgtest_rabbitmq_server" "broker" {}

resource "autopkgtest_swift_server" "store" {}

resource "autopkgtest_broker_user" "user" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "britney"
  role   = "requester"
}

resource "autopkgtest_result_containers" "results" {
  store         = autopkgtest_swift_server.store.store
  releases      = ["rel"]
  force_destroy = true
}
`
}

// TestInterrupted presses Ctrl-C at several moments of an apply. What was begun is in the state: one half is finished
// by the next apply, the other destroyed without a trace.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after  time.Duration
		finish bool
	}{
		"at once, then finished":      {500 * time.Millisecond, true},
		"early, then destroyed":       {1500 * time.Millisecond, false},
		"while starting, then done":   {4 * time.Second, true},
		"while starting, then undone": {6 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newStack(t)
			c := newCLI(t)
			c.write("main.tf", serversOnly(directory))
			ctx, cancel := context.WithTimeout(context.Background(), tc.after)
			defer cancel()
			var out bytes.Buffer
			cmd := c.command(ctx, "apply")
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err == nil {
				t.Fatalf("the apply was done before it could be interrupted:\n%s", &out)
			}
			if strings.Contains(out.String(), "tainted") {
				t.Errorf("something is tainted:\n%s", &out)
			}
			if tc.finish {
				plan := c.run("plan")
				if strings.Contains(plan, "must be replaced") || strings.Contains(plan, "will be destroyed") {
					t.Errorf("the next apply destroys what was begun:\n%s", plan)
				}
				c.run("apply")
				c.planIsEmpty()
			}
			c.run("destroy")
			nothingIsLeft(t, directory)
		})
	}
}

// TestSecrets looks for passwords where people and programs look: in the state, in plans, and in the most talkative log.
func TestSecrets(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	c := newCLI(t)
	c.write("main.tf", serversOnly(directory))
	log := filepath.Join(c.work, "trace.log")
	c.env = append(c.env, "TF_LOG=trace", "TF_LOG_PATH="+log)
	said := c.run("apply")
	passwords := passwordsOf(t, directory)
	c.run("plan", "-out=plan")
	texts := map[string]string{
		"the output of the apply": said,
		"the state":               c.run("state", "pull"),
		"the plan":                c.run("show", "-json", "plan"),
	}
	// A password that was replaced, too: this is when most of them move.
	if err := os.Remove(filepath.Join(directory, "credentials", "britney")); err != nil {
		t.Fatal(err)
	}
	texts["the output of the repair"] = c.run("apply")
	passwords = append(passwords, passwordsOf(t, directory)...)
	texts["the repaired state"] = c.run("state", "pull")
	c.run("destroy")
	trace, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	texts["the log"] = string(trace)
	holdNone(t, passwords, texts)
	nothingIsLeft(t, directory)
}
