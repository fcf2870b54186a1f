//go:build machine

package provider

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machinetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// The folder on the machine that has the programs, and the one with the configuration.
const (
	machinePrograms = "/opt/autopkgtest"
	machineConfig   = "/root/cloud"
)

// systemConfig is a whole cloud, system-wide. Nothing says where. The machine reaches no archive, from which an image
// could be built and a worker prove its testbeds: these come when an image is given.
const systemConfig = `
terraform {
  required_providers {
    autopkgtest = { source = "registry.terraform.io/autopkgtest-cloud/autopkgtest" }
  }
}

provider "autopkgtest" {
  stack  = "server"
  system = true
}

variable "url" {
  default = null
}

variable "image" {
  default = false
}

resource "autopkgtest_rabbitmq_server" "broker" {
  delivery_timeout   = "48h"
  allow_message_loss = true
}

resource "autopkgtest_swift_server" "store" {
  force_destroy = true
}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_broker_user" "user" {
  for_each = toset(["collector", "worker"])
  broker   = autopkgtest_rabbitmq_server.broker.broker
  name     = each.key
  role     = each.key
}

resource "autopkgtest_request_queues" "queues" {
  broker             = autopkgtest_rabbitmq_server.broker.broker
  releases           = ["bookworm"]
  architectures      = ["amd64"]
  allow_message_loss = true
}

resource "autopkgtest_result_containers" "results" {
  store         = autopkgtest_swift_server.store.store
  releases      = ["bookworm"]
  force_destroy = true
}

resource "autopkgtest_testbed_image" "image" {
  count   = var.image ? 1 : 0
  release = "bookworm"
  mirror  = "http://127.0.0.1:1/debian"
}

resource "autopkgtest_worker" "worker" {
  count                   = var.image ? 1 : 0
  broker_credentials_file = autopkgtest_broker_user.user["worker"].credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  images                  = [autopkgtest_testbed_image.image[0].path]
  releases                = ["bookworm"]
  architectures           = ["amd64"]
  depends_on              = [autopkgtest_request_queues.queues, autopkgtest_result_containers.results]
}

resource "autopkgtest_web" "web" {
  broker_credentials_file = autopkgtest_broker_user.user["collector"].credentials_file
  storage_url             = autopkgtest_swift_server.store.store.storage_url
  releases                = ["bookworm"]
  architectures           = ["amd64"]
  external_url            = var.url
  depends_on              = [autopkgtest_broker.broker, autopkgtest_result_containers.results]
}
`

// TestSystemWide deploys a whole cloud onto a machine that lacks a package and the account, boots it anew, and takes the cloud away.
func TestSystemWide(t *testing.T) {
	m := machinetest.Start(t)
	binaries, terraform := os.Getenv("AUTOPKGTEST_TEST_BINARIES"), os.Getenv("TF_ACC_TERRAFORM_PATH")
	if binaries == "" || terraform == "" {
		t.Fatal("the programs or Terraform are missing: run the test with make test-machine")
	}
	m.Copy(terraform, "/usr/local/bin/terraform")
	for _, name := range []string{
		"terraform-provider-autopkgtest", "linux_amd64/autopkgtest-collector", "linux_amd64/autopkgtest-cloud", "linux_amd64/autopkgtest-worker",
	} {
		m.Copy(filepath.Join(binaries, name), filepath.Join(machinePrograms, name))
	}
	write := func(path, text string) {
		t.Helper()
		local := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(local, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m.Copy(local, path)
	}
	write(machineConfig+"/main.tf", systemConfig)
	write("/root/.terraformrc", `disable_checkpoint = true
provider_installation {
  dev_overrides { "registry.terraform.io/autopkgtest-cloud/autopkgtest" = "`+machinePrograms+`" }
  direct {}
}
`)
	run := func(words ...string) string {
		t.Helper()
		return m.Run(append([]string{"terraform", "-chdir=" + machineConfig}, words...)...)
	}
	nothingToDo := func(when string) {
		t.Helper()
		if out, err := m.Try("terraform", "-chdir="+machineConfig, "plan", "-no-color", "-detailed-exitcode"); err != nil {
			t.Errorf("%s there is something to do: %v\n%s", when, err, out)
		}
	}
	run("apply", "-no-color", "-auto-approve")
	nothingToDo("after the apply")

	image := "/var/lib/autopkgtest-cloud/server/images/bookworm-amd64"
	write(image+testbed.ImageSuffix, "stands in")
	write(image+testbed.InfoSuffix, fmt.Sprintf(`{"phase": "ready", "canary": "passed", "proven": %q}`, time.Now().UTC().Format(time.RFC3339)))
	m.Run("chown", "-R", "autopkgtest-cloud:", filepath.Dir(image))
	write(machineConfig+"/terraform.tfvars", "image = true\n")
	run("apply", "-no-color", "-auto-approve")
	nothingToDo("after the apply of image and worker")

	units := strings.Fields(m.Run("sh", "-c", "systemctl list-units --plain --no-legend --state=running 'autopkgtest-server-*' | cut -d' ' -f1"))
	for _, process := range []string{"rabbitmq", "rabbitmq-epmd", "swift-proxy", "swift-memcached", "web", "worker", "image-bookworm-amd64"} {
		if !slices.Contains(units, "autopkgtest-server-"+process+".service") {
			t.Errorf("process %s is not among the units that run: %q", process, units)
		}
	}
	var broker struct {
		Values struct {
			RootModule struct {
				Resources []struct {
					Address string
					Values  map[string]any
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(run("show", "-json")), &broker); err != nil {
		t.Fatal(err)
	}
	for _, r := range broker.Values.RootModule.Resources {
		if place, ok := r.Values["directory"]; ok && (place != "/var/lib/autopkgtest-cloud/server" || r.Values["system"] != true) {
			t.Errorf("%s is in %v, system-wide: %v", r.Address, place, r.Values["system"])
		}
	}

	m.Run("systemctl", "kill", "--signal=KILL", "autopkgtest-server-rabbitmq")
	m.Run("systemctl", "disable", "--now", "autopkgtest-server-web")
	out, err := m.Try("terraform", "-chdir="+machineConfig, "plan", "-no-color", "-detailed-exitcode")
	if err == nil || !strings.Contains(out, "process web ") {
		t.Errorf("a service that was stopped: %v\n%s", err, out)
	}
	pid := m.Run("systemctl", "show", "-p", "MainPID", "autopkgtest-server-swift-proxy")
	run("apply", "-no-color", "-auto-approve", "-var=url=http://ci.example/")
	if now := m.Run("systemctl", "show", "-p", "MainPID", "autopkgtest-server-swift-proxy"); now != pid {
		t.Errorf("a change of the website has restarted the store: %s, %s", pid, now)
	}

	m.Reboot()
	m.Run("systemctl", "is-active", "autopkgtest-server-rabbitmq", "autopkgtest-server-swift-object", "autopkgtest-server-web",
		"autopkgtest-server-worker")
	run("apply", "-no-color", "-auto-approve")
	nothingToDo("after a boot")

	run("destroy", "-no-color", "-auto-approve")
	left := m.Run("sh", "-c", "ls -d /etc/systemd/system/autopkgtest-* /etc/systemd/system/*.wants/autopkgtest-* /var/lib/autopkgtest-cloud/server 2>/dev/null; "+
		"ps -u autopkgtest-cloud -o pid=,args=; systemctl list-units --all --no-legend 'autopkgtest-*'; true")
	if left != "" {
		t.Errorf("left: %s", left)
	}
}
