//go:build acceptance

package provider

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// timedServices and timedThings are one resource of each type, with TIMEOUTS in the place of their timeouts.
const (
	timedServices = `
resource "autopkgtest_rabbitmq_server" "test" {
  timeouts = TIMEOUTS
}

resource "autopkgtest_swift_server" "test" {
  timeouts = TIMEOUTS
}

resource "autopkgtest_testbed_image" "test" {
  release  = "rel"
  mirror   = "MIRROR"
  timeouts = TIMEOUTS
}

resource "autopkgtest_worker" "test" {
  broker_credentials_file = "BROKERFILE"
  store_credentials_file  = "STOREFILE"
  delivery_timeout        = "48h"
  images                  = ["/nonexistent/rel-amd64.tar.zst"]
  releases                = ["rel"]
  architectures           = ["amd64"]
  timeouts                = TIMEOUTS
}

resource "autopkgtest_web" "test" {
  broker_credentials_file = "BROKERFILE"
  storage_url             = "http://127.0.0.1:1/v1/AUTH_x"
  releases                = ["rel"]
  architectures           = ["amd64"]
  timeouts                = TIMEOUTS
}
`
	timedThings = `
resource "autopkgtest_broker" "test" {
  broker   = BROKER
  timeouts = TIMEOUTS
}

resource "autopkgtest_broker_user" "test" {
  broker   = BROKER
  name     = "USER"
  role     = "ROLE"
  timeouts = TIMEOUTS
}

resource "autopkgtest_request_queues" "test" {
  broker        = BROKER
  releases      = [RELEASES]
  architectures = ["amd64"]
  timeouts      = TIMEOUTS
}

resource "autopkgtest_result_containers" "test" {
  store    = STORE
  releases = [RELEASES]
  timeouts = TIMEOUTS
}
`
)

// TestAccTimeouts: what is not made or changed in the time that timeouts allows fails, and says so; nothing is left of what was
// begun, and nothing is forgotten of what was there.
func TestAccTimeouts(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.fanouts.Lock()
	defer s.fanouts.Unlock()
	directory := newStack(t)
	mirror, _ := releaseServer(t, "rel")
	user, one, two := unique("user"), unique("rel"), unique("rel")
	configuration := func(text, timeouts, role string, releases ...string) string {
		return providerBlock("acc", directory) + s.expand(strings.NewReplacer("TIMEOUTS", "{ "+timeouts+" }", "MIRROR", mirror,
			"BROKERFILE", s.broker.CredentialsFile, "STOREFILE", s.store.CredentialsFile, "USER", user, "ROLE", role,
			"RELEASES", `"`+strings.Join(releases, `", "`)+`"`).Replace(text))
	}
	var said []string // by the applies that failed, each in one line
	things := []string{"autopkgtest_broker.test", userAddress, queuesAddress, "autopkgtest_result_containers.test"}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		ErrorCheck: func(err error) error {
			said = append(said, strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "│", "")), " "))
			return nil
		},
		Steps: []resource.TestStep{
			{Config: configuration(timedServices+timedThings, `create = "1ns"`, "worker", one)},
			{
				PreConfig: func() {
					if _, err := os.Lstat(directory); err == nil {
						t.Errorf("a failed creation left the folder %s behind", directory)
					}
					if pids := processes(directory, ""); len(pids) > 0 {
						t.Errorf("a failed creation left the processes %v behind", pids)
					}
					if _, err := s.management.User(t.Context(), user); !errors.Is(err, management.ErrNotFound) {
						t.Errorf("a failed creation left the user behind: %v", err)
					}
				},
				Config: configuration(timedThings, `create = "5m"`, "worker", one),
			},
			{Config: configuration(timedThings, `update = "1ns"`, "collector", one, two)},
			{
				Config: configuration(timedThings, `update = "5m"`, "collector", one, two),
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PreApply:             []plancheck.PlanCheck{onlyUpdates(things)},
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
			},
		},
	})
	if len(said) != 2 {
		t.Fatalf("%d applies have failed, want 2", len(said))
	}
	for _, found := range regexp.MustCompile(`resource "(\w+)"`).FindAllStringSubmatch(timedServices+timedThings, -1) {
		saysTimeout(t, said[0], found[1]+".test", "create")
	}
	for _, address := range things {
		saysTimeout(t, said[1], address, "update")
	}
}

// saysTimeout looks in what an apply has said for the error of one resource, and in that for the time it had.
func saysTimeout(t *testing.T, said, address, operation string) {
	t.Helper()
	_, message, there := strings.Cut(said, "with "+address+",")
	message, _, _ = strings.Cut(message, " with autopkgtest_")
	if !there || !strings.Contains(message, "1ns was all the time for it") || !strings.Contains(message, "raise timeouts."+operation) {
		t.Errorf("the apply does not say of %s that it had too little time: %q", address, message)
	}
}
