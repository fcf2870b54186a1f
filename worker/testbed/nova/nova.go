// Package nova is the backend whose testbeds are servers of OpenStack clouds: virtual machines that Nova boots in one of several
// regions, reached by ssh.
//
// autopkgtest's ssh server asks a set-up script for its machine. The script is this very program, started with the words of [Verb] by
// two lines of shell in the run's file tree; it finds what it is to do in a Plan beside them, and notes what it has made in an account
// (account.go). When the run is over, the worker reads the account: it removes what is left, and what a request that nobody waits for
// any more may still make (make.go), and learns how the region did.
//
// The worker's side of it is regions.go, which decides where the next testbed is made, tend.go, which keeps what is known of regions
// fresh, and janitor.go, which removes testbeds that nobody owns. The set-up script's side begins in setup.go; guest.go is a server as
// its user sees it. Every server carries tags that say whose it is (tags.go).
package nova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name.
const Name = "nova"

// Verb is the first argument of a program that is started as the set-up script; Main takes those after it.
const Verb = "testbed-nova"

// Where a run finds the script, the program, and what they share with the worker. It stands in public logs.
const (
	scriptPath    = "/backend/nova"
	programPath   = "/backend/worker"
	planPath      = "/backend/plan.json"
	accountFolder = "/backend/account"
)

type backend struct{ regions *regions }

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
	_ testbed.Cleaner   = backend{}
	_ testbed.Roomer    = backend{}
	_ testbed.Tender    = backend{}
	_ testbed.Trier     = backend{}
)

func init() { testbed.Register(backend{newRegions()}) }

func (backend) Name() string { return Name }

// Arguments are the same for all: what differs is in the plan, which nobody publishes.
func (backend) Arguments(testbed.Testbed) []string { return []string{"ssh", "-s", scriptPath} }

// Properties declare what a server that boots an image of a distribution can do; the canary proves it.
func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: capabilities, Commands: map[string]string{"ssh": "openssh-client"}, Imageless: true, OnMachine: true,
		Boots: canaryBoots,
	}
}

// canaryBoots is what clouds that are slow to boot a server get: one whose hypervisors fetch an image first, or are busy, or emulate.
const canaryBoots = 15 * time.Minute

var capabilities = []testbed.Capability{testbed.IsolationMachine, testbed.Reboot, testbed.Revert, testbed.RevertFullSystem}

// Furnish chooses the region. Without one that has room it fails with a testbed.ErrNoRoom.
func (b backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	of, err := config.ParseNovaTestbed(t.Given)
	if err != nil {
		return testbed.Furniture{}, fmt.Errorf("[nova] in worker.conf: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return testbed.Furniture{}, fmt.Errorf("find this program: %w", err)
	}
	source, chosen, err := b.regions.choose(of, t.Run)
	if err != nil {
		return testbed.Furniture{}, err
	}
	plan, err := newPlan(of, t, source, chosen)
	if err != nil {
		return testbed.Furniture{}, err
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return testbed.Furniture{}, err
	}
	furniture := testbed.Furniture{
		Files: map[string]string{
			scriptPath: "#!/bin/sh\nexec " + programPath + " " + Verb + " " + planPath + " \"$@\"\n",
			planPath:   string(text),
		},
		Folders: []string{accountFolder}, Shows: map[string]string{programPath: program},
	}
	if source == environment {
		furniture.Environment = sessionVariables()
	}
	return furniture, nil
}

// Clean removes what a run has left in the cloud, and learns from its account.
func (b backend) Clean(ctx context.Context, of testbed.Remains) error {
	at := account{of.Folders[accountFolder]}
	said, err := at.read()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what a testbed was made of: %w", err)
	}
	b.regions.ended(said, of.Testbed)
	if !said.Closed {
		region, err := b.regions.open(said.Source)
		if err != nil {
			return err
		}
		if err := remove(ctx, region, said, of.Testbed.Name, said.Mark); err != nil {
			return err
		}
	}
	return at.forget()
}

// Room says that no region can take a testbed now.
func (b backend) Room(t testbed.Testbed) error {
	of, err := config.ParseNovaTestbed(t.Given)
	if err != nil {
		return fmt.Errorf("[nova] in worker.conf: %w", err)
	}
	return b.regions.room(of)
}

// Places are the regions.
func (b backend) Places() []testbed.Place { return b.regions.places() }
