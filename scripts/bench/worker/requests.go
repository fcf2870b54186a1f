package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// The promises.
const (
	costLimit    = 2.0                   // times the bare loop
	latencyLimit = 50 * time.Millisecond // for 99 of 100 requests
)

// warmUp is how many requests go before: logins, containers and connections are made once.
const warmUp = 5

// rest lets what nobody waits for come to its end, so that it costs the other side nothing.
const rest = 750 * time.Millisecond

// sample is one request in the worker.
type sample struct {
	cost    time.Duration            // publication to acknowledgement, without autopkgtest's time
	start   time.Duration            // publication to the start of autopkgtest
	backend time.Duration            // of that, what the testbed took
	states  map[string]time.Duration // run without autopkgtest's time
	at      result.Location
}

func measureRequests(ctx context.Context, c *cloud, count int, table *report.Report) error {
	q, err := c.declare(ctx, "cost")
	if err != nil {
		return err
	}
	other, err := c.declare(ctx, "bare")
	if err != nil {
		return err
	}
	d, err := c.startWorker(q, 4)
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.await(ctx, "the worker to be ready", said(saidWaiting)); err != nil {
		return err
	}
	var last sample
	for n := range warmUp {
		if last, err = c.one(ctx, d, q, n); err != nil {
			return err
		}
	}
	objects, err := c.objects(ctx, last.at)
	if err != nil {
		return err
	}
	b, err := c.startBare(ctx, other.Name(), result.Container(q.Release, nil, false), objects)
	if err != nil {
		return err
	}
	defer func() { _ = b.connection.Close() }()
	var samples []sample
	var bares []bareSample
	before := processorTime(d.command.Process.Pid)
	for n := range count {
		s, err := c.one(ctx, d, q, warmUp+n)
		if err != nil {
			return err
		}
		samples = append(samples, s)
		if !pause(ctx, rest) {
			return context.Cause(ctx)
		}
		took, err := c.bareOne(ctx, b, other)
		if err != nil {
			return err
		}
		bares = append(bares, took)
	}
	spent := processorTime(d.command.Process.Pid)
	tellRequests(samples, bares, spent.less(before), table)
	return nil
}

// one has the worker do one request.
func (c *cloud) one(ctx context.Context, d *daemon, q request.Queue, number int) (sample, error) {
	asked := requestOf(number)
	body, err := asked.Body()
	if err != nil {
		return sample{}, err
	}
	published := time.Now()
	if err := c.session.Publish(ctx, "", q.Name(), body, true); err != nil {
		return sample{}, err
	}
	lines, err := d.await(ctx, "the end of a request", said(saidDone))
	if err != nil {
		return sample{}, err
	}
	s := sample{states: map[string]time.Duration{}, at: location(q, asked.Package, "")}
	state, since := stateTaking, published
	var run time.Time
	for _, l := range lines {
		if l.State != "" || l.Message == saidDone {
			s.states[state] += l.Time.Sub(since)
			state, since = l.State, l.Time
		}
		switch {
		case l.Message == saidDone:
			s.at.RunID = result.RunID(l.RunID)
			s.cost += l.Time.Sub(published)
		case l.Message == saidRun:
			s.cost -= l.Duration
			s.states[stateRun] -= l.Duration
		case l.State == stateRun:
			run = l.Time
		}
	}
	started, err := c.started(ctx, s.at)
	if err != nil {
		return sample{}, err
	}
	s.start, s.backend = started.Sub(published), started.Sub(run)
	return s, nil
}

const (
	stateTaking = "taking" // ours: from the publication until the worker begins with the request
	stateRun    = "run"
)

// requestOf makes a new request each time, for one of many packages as a store has them.
func requestOf(number int) request.Request {
	return request.Request{
		Package: "green" + strconv.Itoa(number%20), Triggers: []string{"green/1:2-" + strconv.Itoa(number)}, Requester: "bench",
		SubmitTime: time.Now().UTC().Format("2006-01-02 15:04:05.000000+0000"),
	}
}

func location(q request.Queue, pkg string, id result.RunID) result.Location {
	return result.Location{
		Container: result.Container(q.Release, nil, false), Release: q.Release, Architecture: q.Architecture, Package: pkg, RunID: id,
	}
}

// bareSample is one request in the bare loop: publication to acknowledgement, and to delivery.
type bareSample struct{ cost, start time.Duration }

// bareOne has the bare loop do one request.
func (c *cloud) bareOne(ctx context.Context, b *bare, q request.Queue) (bareSample, error) {
	body, err := requestOf(0).Body()
	if err != nil {
		return bareSample{}, err
	}
	published := time.Now()
	if err := c.session.Publish(ctx, "", q.Name(), body, true); err != nil {
		return bareSample{}, err
	}
	got, done, err := b.one(ctx)
	return bareSample{done.Sub(published), got.Sub(published)}, err
}

// started is when the stub that made a result was started, as it says itself.
func (c *cloud) started(ctx context.Context, at result.Location) (time.Time, error) {
	content, err := c.read(ctx, at, result.TarObject)
	if err != nil {
		return time.Time{}, err
	}
	r, err := result.ReadTar(bytes.NewReader(content))
	if err != nil {
		return time.Time{}, err
	}
	var info struct {
		Started int64 `json:"started"`
	}
	if err := json.Unmarshal(r.TestInfo, &info); err != nil || info.Started == 0 {
		return time.Time{}, fmt.Errorf("the stub did not say when it was started: %w", err)
	}
	return time.Unix(0, info.Started), nil
}

func (c *cloud) read(ctx context.Context, at result.Location, name string) ([]byte, error) {
	body, _, err := c.store.Get(ctx, at.Container, at.Object(name))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	return content, errors.Join(err, body.Close())
}

// objects are those of a result that the worker has stored.
func (c *cloud) objects(ctx context.Context, at result.Location) ([]content, error) {
	var all []content
	for _, name := range []string{result.LogObject, result.ArtifactsObject, result.TarObject} {
		body, err := c.read(ctx, at, name)
		if err != nil {
			return nil, err
		}
		all = append(all, content{name, body})
	}
	return all, nil
}

// tellRequests writes the figures down.
func tellRequests(samples []sample, bares []bareSample, spent processor, table *report.Report) {
	ours := func(p int, f func(sample) time.Duration) time.Duration { return percentile(samples, p, f) }
	bare := func(p int, f func(bareSample) time.Duration) time.Duration { return percentile(bares, p, f) }
	each := func(total time.Duration) time.Duration { return total / time.Duration(len(samples)) }
	for _, state := range []string{stateTaking, "accept", "prepare", stateRun, "collect", "spool", "store", "announce", "ack"} {
		table.Note("of a request, median: "+state, shown(ours(50, func(s sample) time.Duration { return s.states[state] })))
	}
	table.Note("processor's time of a request, the worker alone", shown(each(spent.own)))
	table.Note("processor's time of a request, with namespaces and autopkgtest", shown(each(spent.own+spent.children)))

	whole := ours(50, func(s sample) time.Duration { return s.cost })
	own := ours(50, func(s sample) time.Duration { return s.cost - s.states[stateRun] })
	loop := bare(50, func(s bareSample) time.Duration { return s.cost })
	table.Note("a request in a bare loop, median", shown(loop))
	table.Note("a request in the worker, median, without its testbed", shown(own))
	table.Note("with the testbed, but without autopkgtest's own time", shown(whole))
	table.Note("that, times the bare loop", fmt.Sprintf("%.2f", float64(whole)/float64(loop)))
	ratio := float64(own) / float64(loop)
	table.Add("cost of a request without its testbed, times the bare loop", fmt.Sprintf("%.2f", ratio),
		fmt.Sprintf("%.2f", costLimit), ratio <= costLimit)

	start := func(s sample) time.Duration { return s.start }
	testbed := func(s sample) time.Duration { return s.backend }
	above := func(s sample) time.Duration { return s.start - s.backend }
	delivery := func(s bareSample) time.Duration { return s.start }
	both := func(a, b time.Duration) string { return shown(a) + ", " + shown(b) }
	table.Note("publication to start of autopkgtest, p50, p99", both(ours(50, start), ours(99, start)))
	table.Note("of that, the testbed, p50, p99", both(ours(50, testbed), ours(99, testbed)))
	table.Note("above the testbed, p50", shown(ours(50, above)))
	// What even a bare loop waits for its request is the broker's, and the machine's.
	table.Note("a bare loop has its request after, p50, p99", both(bare(50, delivery), bare(99, delivery)))
	late, most := ours(99, above), latencyLimit+bare(99, delivery)
	table.Add("above the testbed, p99", shown(late), shown(latencyLimit)+" above the bare loop's", late <= most)
}

func shown(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// percentile is that of what f makes of all.
func percentile[T any](all []T, p int, f func(T) time.Duration) time.Duration {
	values := make([]time.Duration, 0, len(all))
	for _, one := range all {
		values = append(values, f(one))
	}
	slices.Sort(values)
	return values[min(len(values)*p/100, len(values)-1)]
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// processor is what a process and its dead children have used.
type processor struct{ own, children time.Duration }

func (p processor) less(q processor) processor {
	return processor{p.own - q.own, p.children - q.children}
}

// clockTick is the kernel's unit, always.
const clockTick = 10 * time.Millisecond

func processorTime(pid int) processor {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processor{}
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from state on, the third
	ticks := func(i int) time.Duration {
		n, _ := strconv.Atoi(fields[i-3])
		return time.Duration(n) * clockTick
	}
	return processor{ticks(14) + ticks(15), ticks(16) + ticks(17)}
}
