//go:build openstack

package nova

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// overheadLimit is what a testbed's life may take longer than that of a bare server.
const overheadLimit = 500 * time.Millisecond

// BenchmarkOpenToCleanup puts a testbed's life beside that of a bare server, in turns: the set-up script is called as autopkgtest calls
// it, a process for each call, while the bare server is booted and deleted in a session that is logged in, with everything looked up
// before. What is between them is our own: processes, logins, ssh, accounts, and tags.
func BenchmarkOpenToCleanup(b *testing.B) {
	p := newProject(b, 100)
	sshd := startLocalSSHD(b)
	given := words(sshd, "m1.tiny", p.rc)
	with := backend{newRegions()}
	reads := tender{regions: with.regions, with: testbed.Tending{Given: func() [][]string { return [][]string{given} }, Log: slog.Default()}}
	if reads.sources(); !reads.read(b.Context(), p.rc) { // as a worker does all the time
		b.Fatal("the region was not read")
	}
	bare := bareServer(b, p)
	var ours, bares []time.Duration
	for b.Loop() {
		begin := time.Now()
		bare()
		bares = append(bares, time.Since(begin))
		begin = time.Now()
		openToCleanup(b, with, of("bench", "", given), sshd)
		ours = append(ours, time.Since(begin))
	}
	own := median(ours) - median(bares)
	b.ReportMetric(median(bares).Seconds()*1000, "bare-ms")
	b.ReportMetric(own.Seconds()*1000, "own-ms")
	b.ReportMetric(0, "ns/op")
	if b.N > 1 && own > overheadLimit {
		b.Errorf("a testbed takes %s longer than a bare server, at most %s are promised", own, overheadLimit)
	}
}

// bareServer returns the life of a server that has nothing to do with us.
func bareServer(b *testing.B, p project) func() {
	ctx := b.Context()
	image, err := p.region.NewestImage(ctx, "testbed")
	if err != nil {
		b.Fatal(err)
	}
	flavor, err := p.region.Flavor(ctx, "m1.tiny")
	if err != nil {
		b.Fatal(err)
	}
	network, err := p.region.InternalNetwork(ctx, p.Name)
	if err != nil {
		b.Fatal(err)
	}
	boot := openstack.Boot{Name: "bare", Image: image.ID, Flavor: flavor.ID, Network: network.ID, Groups: []string{"default"}}
	return func() {
		id, err := p.region.Boot(ctx, boot)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.region.AwaitActive(ctx, id); err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(p.region.DeleteServer(ctx, id), p.region.AwaitGone(ctx, id)); err != nil {
			b.Fatal(err)
		}
	}
}

// openToCleanup is the life of a testbed, with the worker's part before and after it.
func openToCleanup(b *testing.B, with backend, made testbed.Testbed, sshd localSSHD) {
	furniture, err := with.Furnish(made)
	if err != nil {
		b.Fatal(err)
	}
	folder := b.TempDir()
	plan := filepath.Join(folder, "plan.json")
	writePlan(b, furniture, plan)
	for _, verb := range []string{"open", "cleanup"} {
		if out, err := callScript(plan, verb, sshd).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", verb, err, out)
		} else if testing.Verbose() {
			b.Logf("%s", out)
		}
	}
	if err := with.Clean(b.Context(), testbed.Remains{Testbed: made, Folders: map[string]string{accountFolder: folder}}); err != nil {
		b.Fatal(err)
	}
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
