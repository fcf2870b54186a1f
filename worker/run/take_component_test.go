//go:build component

package run

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// tally are testbeds that pass at once and remember whose tests they ran.
type tally struct {
	fakeTestbeds
	mu   sync.Mutex
	runs []request.Context
}

func (o *tally) Run(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
	o.mu.Lock()
	o.runs = append(o.runs, job.Queue.Context)
	o.mu.Unlock()
	output(job.OutputDir, map[string]string{"log": "log\n", "testpkg-version": job.Request.Package + " 1\n"})
	return testbed.Outcome{Duration: time.Second}, nil
}

func (o *tally) order() []request.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]request.Context(nil), o.runs...)
}

// A worker that finds all of its queues full takes from them by their weights, and when only one has requests, all slots
// serve that one. The broker has what is not run.
func TestTakesByWeight(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var queues []request.Queue
	const each = 60
	for _, context := range request.Contexts {
		q := c.queue
		q.Context = context
		queues = append(queues, q)
		c.broker.DeclareQueue(t, q.Name())
		for i := range each {
			if err := c.session.Publish(t.Context(), "", q.Name(), []byte(body(fmt.Sprintf("green%s%d", context, i))), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	results, err := directory.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	beds := &tally{fakeTestbeds: fakeTestbeds{images: c.images}}
	w := c.work(t, beds, c.workerAccount(t), results, 2, func(s *Settings) { s.Queues = queues })
	queuetest.Eventually(t, "all requests are run", func() bool { return len(beds.order()) == len(queues)*each })
	counted := map[string]int{} // by context
	const picks = 80            // none is empty until then
	for _, context := range beds.order()[:picks] {
		counted[string(context)]++
	}
	for context, weight := range config.DefaultWeights {
		if got, want := counted[context], picks*weight/8; got < want-3 || got > want+3 {
			t.Errorf("context %q: %d of %d, want %d", context, got, picks, want)
		}
	}
	c.drained(t, w)
}
