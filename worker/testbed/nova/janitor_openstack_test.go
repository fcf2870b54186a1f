//go:build openstack

package nova

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// leak makes servers with the same tags, in one request.
func (p project) leak(t *testing.T, count int, tags ...string) {
	t.Helper()
	ctx := t.Context()
	image, err := p.region.NewestImage(ctx, "testbed")
	if err != nil {
		t.Fatal(err)
	}
	flavor, err := p.region.Flavor(ctx, "m1.tiny")
	if err != nil {
		t.Fatal(err)
	}
	network, err := p.region.InternalNetwork(ctx, p.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.region.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error {
		return servers.Create(ctx, client, servers.CreateOpts{
			Name: "leaked", ImageRef: image.ID, FlavorRef: flavor.ID, Networks: []servers.Network{{UUID: network.ID}}, Tags: tags, Min: count, Max: count,
		}, nil).Err
	}); err != nil {
		t.Fatal(err)
	}
}

// sweepLeaked has so many servers leaked, and one of each kind that nobody may touch, and lets the janitor pass once.
func sweepLeaked(t *testing.T, count int) {
	p, between := newProjectBetween(t, count+5)
	worker := "w-" + strings.ToLower(text(8))
	p.leak(t, count, tagsOf(testbed.Testbed{Name: "gone", Worker: worker, Run: "dead"})...)
	p.leak(t, 1, tagsOf(testbed.Testbed{Name: "used", Worker: worker, Run: "alive"})...)
	p.leak(t, 1, tagsOf(testbed.Testbed{Name: "gone", Worker: "other", Run: "dead"})...)
	p.leak(t, 1, ownTag, "worker:"+worker)
	p.leak(t, 1)
	// One that is deleted while it is scheduled vanishes, and is listed once more before Nova drops it.
	p.awaitActive(t, count+4)

	var deletes, most, refused atomic.Int64
	var early atomic.Bool
	var mu sync.Mutex
	until := map[string]time.Time{}
	between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
		if s.Method != http.MethodDelete {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		now := int64(0)
		for _, other := range between.Requests() {
			if other.Method == http.MethodDelete && other.Status == 0 {
				now++
			}
		}
		most.Store(max(most.Load(), now))
		if deletes.Add(1)%10 == 3 && until[s.Path].IsZero() { // some are told to come again later
			refused.Add(1)
			until[s.Path] = time.Now().Add(2 * time.Second)
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		if time.Now().Before(until[s.Path]) {
			early.Store(true)
		}
		return false
	})
	between.Forget()
	sweeper := tender{regions: newRegions(), trials: map[string]bool{}, with: testbed.Tending{
		Worker: worker, Alive: func() []string { return []string{"used"} }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Over: func(context.Context, []testbed.Owner) ([]testbed.Owner, error) { return nil, nil },
	}}
	begin := time.Now()
	removed, err := sweeper.sweepRegion(t.Context(), p.rc)
	if err != nil || removed != count {
		t.Errorf("removed %d, %v; want %d", removed, err, count)
	}
	t.Logf("%d servers in %s, at most %d at a time, %d told to wait", removed, time.Since(begin), most.Load(), refused.Load())
	if lists := between.Count(http.MethodGet, "compute", "/servers/detail"); lists != 1 {
		t.Errorf("listed %d times", lists)
	}
	if most.Load() > hands || most.Load() < 2 || refused.Load() == 0 || early.Load() {
		t.Errorf("%d at a time, %d told to wait, too early %v", most.Load(), refused.Load(), early.Load())
	}
	between.Spoil(nil)
	p.await(t, 4)
	for _, server := range p.servers(t) {
		if o, ours := ownedBy(*server.Tags); ours && o.Worker == worker && o.name != "used" {
			t.Errorf("left: %s", *server.Tags)
		}
	}
}

// TestJanitor is the ordinary size; TestJanitorHundred is in the slow lane.
func TestJanitor(t *testing.T) { sweepLeaked(t, 12) }

// dyingVariable has a process of the test open testbeds and never end: the folder with their plans.
const dyingVariable = "AUTOPKGTEST_TEST_NOVA_OPENS"

// openAll is the process: it opens a testbed for each plan, says so, and waits to be killed.
func openAll(folder string) {
	plans, _ := filepath.Glob(filepath.Join(folder, "*/plan.json"))
	var opening sync.WaitGroup
	for _, path := range plans {
		opening.Go(func() {
			if err := start(context.Background(), []string{path, "open"}, reachLocalSSHD); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	opening.Wait()
	fmt.Println("OPEN")
	select {}
}

// TestKilledWorker: the janitor of a worker's next life removes the ten testbeds of the one that was killed, and not the eleventh, which
// is another worker's.
func TestKilledWorker(t *testing.T) {
	const count = 10
	p := newProject(t, count+1)
	sshd := startLocalSSHD(t)
	b := backend{newRegions()}
	folder := t.TempDir()
	for i := range count + 1 {
		worker := "killed"
		if i == count {
			worker = "other"
		}
		f, err := b.Furnish(of(worker, "run-"+strconv.Itoa(i), words(sshd, "m1.tiny", p.rc)))
		if err != nil {
			t.Fatal(err)
		}
		writePlan(t, f, filepath.Join(folder, strconv.Itoa(i), "plan.json"))
	}
	dying := exec.Command(os.Args[0])
	dying.Env = append(os.Environ(), dyingVariable+"="+folder, sshdVariable+"="+strconv.Itoa(sshd.port))
	dying.Stderr = t.Output()
	said, err := dying.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dying.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan() && lines.Text() != "OPEN"; {
	}
	if err := dying.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dying.Wait()
	p.await(t, count+1)

	ctx, stop := context.WithCancel(t.Context())
	tended := make(chan struct{})
	go func() {
		defer close(tended)
		backend{newRegions()}.Tend(ctx, testbed.Tending{
			Worker: "killed", Given: func() [][]string { return [][]string{words(sshd, "m1.tiny", p.rc)} },
			Alive: func() []string { return nil }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
	}()
	p.await(t, 1)
	stop()
	<-tended
	if left := p.servers(t); len(left) != 1 || !strings.Contains(strings.Join(*left[0].Tags, " "), "worker:other") {
		t.Errorf("left: %v", left)
	}
}

// TestTrial: a region that was out of service is tried with a server of its own, of which nothing is left.
func TestTrial(t *testing.T) {
	p := newProject(t, 1)
	sshd := startLocalSSHD(t)
	for _, test := range []struct {
		flavor string
		state  testbed.BreakerState
	}{{"m1.huge", testbed.BreakerOpen}, {"m1.tiny", testbed.BreakerClosed}} {
		r := newRegions()
		w := tender{regions: r, trials: map[string]bool{}, with: testbed.Tending{Worker: "w", Alive: func() []string { return nil },
			Given: func() [][]string { return [][]string{words(sshd, test.flavor, p.rc)} }, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}}
		if got := w.sources(); len(got) != 1 || !w.read(t.Context(), p.rc) {
			t.Fatalf("%v", got)
		}
		one := r.get(p.rc)
		one.breaker.Failed(fmt.Errorf("no valid host"))
		w.try(t.Context(), p.rc)
		if got := r.places(); got[0].State != test.state {
			t.Errorf("%s: %+v", test.flavor, got)
		}
		p.await(t, 0)
	}
}
