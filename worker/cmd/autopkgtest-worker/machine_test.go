package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	got := limits(config.Worker{Limits: config.Limits{
		Disk: 1 << 30, Files: 5, Log: config.Unlimited, Memory: 2 << 30, Processes: 7,
	}})
	want := testbed.Limits{Disk: 1 << 30, Files: 5, Memory: 2 << 30, Processes: 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	allowed, err := config.ParseDestination("10.1.2.0/24:3142")
	if err != nil {
		t.Fatal(err)
	}
	got := network(config.Worker{
		Network: config.Network{Allow: []config.Destination{allowed}, Mirror: "http://mirror/debian", Proxy: "http://proxy:3128",
			Kind: config.NetworkVeth, Range: netip.MustParsePrefix("10.9.0.0/24"), Range6: netip.MustParsePrefix("fd99::/120")},
		PPA: config.PPA{URL: "https://ppa.example.com/$OWNER/$NAME/ubuntu"},
	})
	want := testbed.Network{Mirror: "http://mirror/debian", Proxy: "http://proxy:3128", Allow: []testbed.Destination{
		{Network: netip.MustParsePrefix("10.1.2.0/24"), Port: 3142}, {Name: "ppa.example.com", Port: 443},
	}, Kind: testbed.WayOutVeth, Range: netip.MustParsePrefix("10.9.0.0/24"), Range6: netip.MustParsePrefix("fd99::/120")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
}
