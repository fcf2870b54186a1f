//go:build acceptance

package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestAccBrokerUserForAShell is the life of shell_file: what a real shell sources is what the other file holds, at all times.
func TestAccBrokerUserForAShell(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	shell := config.ShellFile(r.file)
	sourced := func() error {
		out, err := exec.Command("sh", "-euc", `. "$1"; sh -c 'printf %s "$ADT_AMQP"'`, "sh", shell).Output()
		if err != nil {
			return err
		}
		if string(out) != r.account().URI().Reveal() {
			return errors.New("a shell reads other credentials than britney")
		}
		if info, err := os.Stat(shell); err != nil || info.Mode() != 0o600 {
			return fmt.Errorf("%s: %v, %w", shell, info, err)
		}
		account, err := config.ParseBroker(string(out))
		if err != nil {
			return err
		}
		return logsIn(account)
	}
	works := func(*terraform.State) error { return sourced() }
	plain := rotated(r.sharedStack, r.name, "requester")
	const november = `rotation = "2026-11"`
	var before config.Broker
	steps := []resource.TestStep{
		{
			Config: plain, Check: works,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(userAddress, tfjsonpath.New("shell_file"), knownvalue.StringExact(shell)),
			},
		},
		{Config: rotated(r.sharedStack, r.name, "requester", november), ConfigPlanChecks: inPlaceThenEmpty(), Check: works},
		{Config: plain, Check: works},
	}
	damaged := func(reason string, replaced bool, damage func() error) {
		added := repaired(userAddress, reason, plain, func() {
			before = r.account()
			if err := damage(); err != nil {
				t.Error(err)
			}
		})
		added[1].Check = func(*terraform.State) error {
			if (r.account() != before) != replaced {
				return fmt.Errorf("the password was replaced: want %v", replaced)
			}
			return sourced()
		}
		steps = append(steps, added...)
	}
	damaged("is gone", false, func() error { return os.Remove(shell) })
	damaged("is damaged", false, func() error { return os.WriteFile(shell, []byte("nonsense\n"), 0o600) })
	damaged("holds other credentials", false, func() error {
		other := r.account()
		other.Password = "other"
		return os.WriteFile(shell, other.File(config.ShellKey(config.KeyGatekeeper)), 0o600)
	})
	damaged("could be read by others: the password will be replaced", true, func() error { return os.Chmod(shell, 0o644) })
	steps = append(steps, resource.TestStep{ // who is no requester has none
		Config: rotated(r.sharedStack, r.name, "monitor"), ConfigPlanChecks: inPlaceThenEmpty(),
		Check: func(*terraform.State) error {
			if _, err := os.Lstat(shell); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is left: %w", shell, err)
			}
			return nil
		},
	}, resource.TestStep{Config: plain, Check: works})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if _, err := os.Lstat(shell); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the destroy leaves %s: %v", shell, err)
	}
}
