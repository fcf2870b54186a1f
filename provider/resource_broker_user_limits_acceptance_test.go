//go:build acceptance

package provider

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// TestAccBrokerUserLimits is the life of max_connections and max_channels: made, changed, taken away, drifted, for all generations.
func TestAccBrokerUserLimits(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	ctx := context.Background()
	limited := func(want map[management.Limit]int, users ...string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			for _, user := range users {
				got, err := r.management.UserLimits(ctx, user)
				if err != nil || !maps.Equal(got, want) {
					return fmt.Errorf("%s has the limits %v, %w; want %v", user, got, err, want)
				}
			}
			return nil
		}
	}
	none, both := map[management.Limit]int{}, map[management.Limit]int{management.MaxConnections: 5, management.MaxChannels: 50}
	const connections, channels, november = "max_connections = 5", "max_channels = 50", `rotation = "2026-11"`
	configuration := rotated(r.sharedStack, r.name, "worker", connections, channels)
	steps := []resource.TestStep{
		{Config: rotated(r.sharedStack, r.name, "worker"), Check: limited(none, r.name)},
		{Config: configuration, ConfigPlanChecks: inPlaceThenEmpty(), Check: limited(both, r.name)},
		{
			Config:           rotated(r.sharedStack, r.name, "worker", channels),
			ConfigPlanChecks: inPlaceThenEmpty(), Check: limited(map[management.Limit]int{management.MaxChannels: 50}, r.name),
		},
	}
	added := repaired(userAddress, "may have any number of connections and 7 channels, and shall have 5 and 50", configuration, func() {
		if err := r.management.PutUserLimits(ctx, r.name, map[management.Limit]int{management.MaxChannels: 7}); err != nil {
			t.Error(err)
		}
	})
	steps = append(steps, resource.TestStep{Config: configuration})
	steps = append(steps, added...)
	steps = append(steps,
		resource.TestStep{
			Config:           rotated(r.sharedStack, r.name, "worker", connections, channels, november),
			ConfigPlanChecks: inPlaceThenEmpty(), Check: limited(both, r.name, r.name+"-2026-11"),
		},
		resource.TestStep{
			Config: rotated(r.sharedStack, r.name, "worker", november), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: limited(none, r.name, r.name+"-2026-11"),
		})
	steps = append(steps, repaired(userAddress, "may have 3 connections", rotated(r.sharedStack, r.name, "worker", november), func() {
		if err := r.management.PutUserLimits(ctx, r.name+"-2026-11", map[management.Limit]int{management.MaxConnections: 3}); err != nil {
			t.Error(err)
		}
	})...)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

func TestAccBrokerUserLimitsRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	// A broker of long ago, as far as a plan asks it.
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"Object Not Found","reason":"Not Found"}`))
	}))
	t.Cleanup(old.Close)
	file := filepath.Join(scratch, unique("old"))
	if err := os.WriteFile(file, config.Broker{Username: "u", Password: "p", Host: "h"}.File(config.KeyURI), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	other := providerBlock(sharedName, s.directory) + fmt.Sprintf(`
resource "autopkgtest_broker_user" "test" {
  broker       = { management_url = %q, credentials_file = %q }
  name         = "x"
  role         = "worker"
  max_channels = 50
}
`, old.URL, file)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: other, PlanOnly: true, ExpectError: regexp.MustCompile(`max_channels(.|\n)*RabbitMQ has\s+them\s+from\s+3.8.10\s+on`)},
		{
			Config: rotated(s, "x", "worker", "max_connections = 1"), PlanOnly: true,
			ExpectError: regexp.MustCompile(`max_connections value must be between 2`),
		},
		{
			Config: rotated(s, "x", "worker", "max_channels = 3"), PlanOnly: true,
			ExpectError: regexp.MustCompile(`max_channels value must be between 4`),
		},
	}})
}
