package testbed

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// canaryTree is a source package that tells whether testbeds are sound, and what they can do. Its first test installs a
// package from the archive, after autopkgtest has fetched the archive's index. Each of the others is for one capability,
// and is skipped where that is not there.
//
//go:embed canary
var canaryTree embed.FS

const (
	canaryName  = "autopkgtest-canary"
	canaryTest  = "canary" // the test that must pass
	canaryLimit = 10 * time.Minute

	// canaryTrigger names a source that the archive has: with a proposed pocket, autopkgtest looks for it there.
	canaryTrigger = "hello/2.10-1"
)

// canaryTests are the tests that show a capability.
var canaryTests = map[string]Capability{
	string(RootOnTestbed): RootOnTestbed, string(IsolationContainer): IsolationContainer,
	string(IsolationMachine): IsolationMachine, "reboot": Reboot,
}

// ErrCanary means that the canary package did not pass: whatever else fails in such a testbed, its package is not to blame.
var ErrCanary = errors.New("the canary package does not pass")

// Proof is what Prove is to prove.
type Proof struct {
	Queue   request.Queue
	Image   string        // empty for a backend that needs none
	WorkDir string        // a folder for this alone; the source and the output stay in it
	Grace   time.Duration // see Job
}

// Prove runs the canary package, exactly as a worker runs a package, and returns what it found that these testbeds can do.
// Its error is an ErrCanary when they are unsound; any other one means that the canary could not be run.
func (r *Runner) Prove(ctx context.Context, p Proof) ([]Capability, error) {
	source, output := filepath.Join(p.WorkDir, canaryName), filepath.Join(p.WorkDir, "out")
	if err := writeCanary(source); err != nil {
		return nil, err
	}
	started := time.Now()
	outcome, err := r.Run(ctx, r.tailored(Job{
		Request: request.Request{Package: canaryName, Triggers: []string{canaryTrigger}}, Queue: p.Queue,
		Image: p.Image, Source: source, OutputDir: output, WorkDir: p.WorkDir, Grace: p.Grace,
		Timeout: canaryTimeout(r.backend.Properties()),
	}))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, ErrNoImage):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: it could not be run: %w", ErrCanary, err)
	}
	took := time.Since(started).Round(time.Millisecond)
	verdicts, _ := readSummary(filepath.Join(output, "summary")) // without one, no test has passed
	if verdicts[canaryTest] != "PASS" || outcome.TimedOut || (outcome.ExitCode != 0 && outcome.ExitCode != 2) {
		return nil, fmt.Errorf("%w: autopkgtest ended with %d after %s: %s", ErrCanary, outcome.ExitCode, took,
			logEnd(filepath.Join(output, "log")))
	}
	var found []Capability
	for name, capability := range canaryTests {
		if verdicts[name] == "PASS" {
			found = append(found, capability)
		}
	}
	slices.Sort(found)
	for name, capability := range canaryTests {
		if r.backend.Properties().Can(capability) && verdicts[name] != "PASS" {
			return found, fmt.Errorf("%w: testbeds of the backend %s are to have %s, and this one has not", ErrCanary,
				r.backend.Name(), capability)
		}
	}
	r.log.Info("the canary package passes", "testbed", testbedOf(p.Queue), "took", took,
		"capabilities", found)
	return found, nil
}

// canaryTimeout is the longest that a canary may take.
func canaryTimeout(p Properties) time.Duration {
	return canaryLimit*time.Duration(max(p.Stretch, 1)) + p.Boots
}

func writeCanary(folder string) error {
	files, err := fs.Sub(canaryTree, "canary")
	if err == nil {
		err = os.CopyFS(folder, files)
	}
	if err == nil { // embedding has lost its mode
		err = os.Chmod(filepath.Join(folder, "debian/tests/reboot"), 0o755)
	}
	if err != nil {
		return fmt.Errorf("write the canary package: %w", err)
	}
	return nil
}

// readSummary reads autopkgtest's summary: test → PASS, FAIL, SKIP, FLAKY.
func readSummary(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	verdicts := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			verdicts[fields[0]] = fields[1]
		}
	}
	return verdicts, nil
}

// logEnd returns the last lines of a log as one, for a message.
func logEnd(path string) string {
	const most = 600
	file, err := os.Open(path)
	if err != nil {
		return "there is no log"
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(size-most, 0), io.SeekStart) // from the beginning if that fails
	}
	text, _ := io.ReadAll(io.LimitReader(file, most))
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")
}

// canaries keeps canaries of one kind of testbed from running side by side: whoever asks meanwhile shares the answer.
type canaries struct {
	mu      sync.Mutex
	running map[string]*canaryRun // by release and architecture
}

type canaryRun struct {
	done  chan struct{} // closed when the rest is there
	found []Capability
	err   error
}

// Canary tells whether the testbeds of a queue are sound at this moment: nil, or an ErrCanary that says what is wrong. It
// installs a package from the archive in a new testbed, which takes as long as a small package's tests do.
func (r *Runner) Canary(ctx context.Context, queue request.Queue) error {
	_, err := r.canary(ctx, queue)
	return err
}

func (r *Runner) canary(ctx context.Context, queue request.Queue) ([]Capability, error) {
	key := testbedOf(queue)
	r.canaries.mu.Lock()
	if running, there := r.canaries.running[key]; there {
		r.canaries.mu.Unlock()
		select {
		case <-running.done:
			return running.found, running.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	run := &canaryRun{done: make(chan struct{}), err: errors.New("the canary was ended")}
	if r.canaries.running == nil {
		r.canaries.running = map[string]*canaryRun{}
	}
	r.canaries.running[key] = run
	r.canaries.mu.Unlock()
	defer func() {
		r.canaries.mu.Lock()
		delete(r.canaries.running, key)
		r.canaries.mu.Unlock()
		close(run.done)
	}()
	run.found, run.err = r.proveQueue(ctx, queue, key)
	return run.found, run.err
}

// testbedOf names what queues of all contexts share.
func testbedOf(queue request.Queue) string { return queue.Release + "-" + queue.Architecture }

func (r *Runner) proveQueue(ctx context.Context, queue request.Queue, key string) (found []Capability, err error) {
	folder := filepath.Join(r.stateFolder(), "canary-"+key)
	if err := os.MkdirAll(r.stateFolder(), 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the canary: %w", err)
	}
	// Another program with the same state may be at it.
	own, err := lockFile(ctx, folder+".lock", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if err := Remove(ctx, folder); err != nil { // of a program that was killed
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the canary: %w", err)
	}
	defer func() {
		if left := Remove(context.WithoutCancel(ctx), folder); left != nil {
			r.log.Error("the folder of a canary is left; the next one removes it", "error", left)
		}
	}()
	return r.Prove(ctx, Proof{Queue: queue, Image: r.ImageOf(queue), WorkDir: folder})
}

// ImageOf is the path of the image for a queue; empty where testbeds do not come from our images.
func (r *Runner) ImageOf(queue request.Queue) string {
	if r.backend.Properties().Imageless {
		return ""
	}
	return r.tailored(Job{Queue: queue, Image: ImagePath(r.images, queue)}).Image
}

func (r *Runner) tailored(job Job) Job {
	if r.tailor == nil {
		return job
	}
	return r.tailor(job)
}

// imagesBackend is the backend in whose testbeds the image job runs its canary.
const imagesBackend = "unshare"

// proven says when the image of a queue has passed its canary in testbeds of this kind, or fails with an ErrNoImage. It is
// zero when nobody knows, and when there is no image to prove.
func (r *Runner) proven(queue request.Queue) (time.Time, error) {
	image := r.ImageOf(queue)
	if image == "" {
		return time.Time{}, nil
	}
	info, err := DescribeImage(image)
	if err != nil || info.Canary != CanaryPassed || r.backend.Name() != imagesBackend {
		return time.Time{}, err
	}
	return info.Proven, nil
}

// stateFolder is where a program that named none has its state.
func (r *Runner) stateFolder() string {
	if r.state != "" {
		return r.state
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("autopkgtest-testbeds-%d", os.Geteuid()))
}
