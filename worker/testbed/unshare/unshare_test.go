package unshare

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestRegistered(t *testing.T) {
	t.Parallel()
	b, err := testbed.Lookup(Name)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"unshare", "--release", "noble", "--arch", "arm64", "--tarball", "/images/noble-arm64.tar.zst"}
	got := b.Arguments(testbed.Testbed{Release: "noble", Architecture: "arm64", Image: "/images/noble-arm64.tar.zst"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	p := b.Properties()
	if !p.Can(testbed.Revert) || p.Can(testbed.IsolationContainer) || p.Can(testbed.IsolationMachine) || p.Can(testbed.Reboot) {
		t.Errorf("capabilities %v", p.Capabilities)
	}
	if len(p.Commands) == 0 {
		t.Errorf("commands %v", p.Commands)
	}
}
