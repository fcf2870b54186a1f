package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// The queues in which a round collects what workers say. Those that collect rejected requests are what a deployment has.
const (
	completionQueue  = "chaos-complete"
	rejectedExchange = "autopkgtest.rejected"
	rejectedQueue    = "rejected-requests"
)

// workerUser is the broker's user of the workers, with a worker's rights.
const workerUser = "chaos-worker"

// round is one round of chaos: a plan, and everything that it needs but the services.
type round struct {
	options    options
	stack      *stack
	programs   programs
	plan       plan.Plan
	release    string // no other round's: it keeps queues and results apart
	folder     string
	events     io.Writer
	queues     []request.Queue
	storefront *storefront
	machines   []*machine
	watch      *watch
	gatekeeper *gatekeeper
	reader     *reader

	mu     sync.Mutex
	began  time.Time
	counts map[string]int
	killed map[string]int // by key of the request: how many of its tests
}

// say writes a line to the round's record.
func (r *round) say(format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.events, "%7.1f  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, arguments...))
}

func (r *round) add(what string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what] += n
}

// prepare makes queues, accounts and machines, and starts the workers.
func (r *round) prepare(ctx context.Context) error {
	if err := r.prepareBroker(ctx); err != nil {
		return err
	}
	account, err := r.prepareAccount(ctx)
	if err != nil {
		return err
	}
	storefront, results, err := newStorefront(ctx, r.stack.account, mathrand.New(mathrand.NewPCG(r.plan.Seed, 3)))
	if err != nil {
		return err
	}
	r.storefront = storefront
	images := filepath.Join(r.folder, "images")
	if err := os.MkdirAll(images, 0o755); err != nil {
		return err
	}
	for _, arch := range plan.Architectures {
		if err := os.WriteFile(filepath.Join(images, r.release+"-"+arch+".tar.zst"), []byte("none: for a stub\n"), 0o644); err != nil {
			return err
		}
	}
	conf := config.Worker{
		Releases: []string{r.release}, Architectures: plan.Architectures, Contexts: plan.Contexts, Slots: r.options.slots,
		Timeout: 2 * time.Minute, DrainTimeout: 5 * time.Second, CheckoutDir: r.programs.checkout, Images: images,
	}
	for n := range r.options.Machines {
		m := &machine{
			// Another program like this one may be at work beside us: the mark is no other machine's.
			name:   fmt.Sprintf("chaos-%s-worker-%d-%s", r.release, n, strings.ToLower(rand.Text()[:8])),
			number: n, folder: filepath.Join(r.folder, fmt.Sprintf("worker-%d", n)),
			program: r.programs.worker, stack: r.stack, watch: r.watch,
		}
		var broker config.Broker
		if r.options.early {
			m.link, broker, err = newEarlyLink(ctx, account)
		} else {
			m.link, broker, err = queuetest.NewProxy(account)
		}
		if err != nil {
			return err
		}
		r.machines = append(r.machines, m)
		if err := m.prepare(conf, broker, results); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
	}
	r.gatekeeper = &gatekeeper{stack: r.stack, release: r.release}
	r.reader = newReader(r.stack, r.release)
	return nil
}

func (r *round) prepareBroker(ctx context.Context) error {
	for _, context := range plan.Contexts {
		for _, arch := range plan.Architectures {
			r.queues = append(r.queues, request.Queue{Context: request.Context(context), Release: r.release, Architecture: arch})
		}
	}
	for _, q := range r.queues {
		if err := r.stack.management.DeclareQueue(ctx, q.Name()); err != nil {
			return err
		}
	}
	exchanges := slices.Clone(management.Fanouts)
	if !slices.ContainsFunc(exchanges, func(x management.Exchange) bool { return x.Name == rejectedExchange }) {
		exchanges = append(exchanges, management.Exchange{Name: rejectedExchange, Durable: true})
	}
	for _, x := range exchanges {
		if err := r.stack.management.DeclareExchange(ctx, x); err != nil {
			return err
		}
	}
	session, err := queue.Dial(ctx, r.stack.broker)
	if err != nil {
		return err
	}
	for _, l := range []queue.Listener{
		{Queue: completionQueue, Exchange: queue.CompletionExchange, Durable: true},
		{Queue: rejectedQueue, Exchange: rejectedExchange, Durable: true},
	} {
		// What an earlier round that failed has left is none of this one's.
		if err = r.stack.management.DeleteQueue(ctx, l.Queue, false); err == nil {
			err = session.DeclareListener(ctx, l)
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, session.Close())
}

// prepareAccount makes a user with the rights that a deployment gives to workers.
func (r *round) prepareAccount(ctx context.Context) (config.Broker, error) {
	account := r.stack.broker
	account.Username, account.Password = workerUser, config.NewSecret()
	err := r.stack.management.PutUser(ctx, management.User{
		Name: account.Username, PasswordHash: management.HashPassword(account.Password), Tags: management.OurTags,
	})
	if err == nil {
		err = r.stack.management.PutPermissions(ctx, account.Username, management.Worker.Permissions())
	}
	return account, err
}

// run is the round itself. What is wrong with what it has left is no error of its.
func (r *round) run(ctx context.Context) ([]check.Problem, error) {
	following, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() { r.reader.follow(following) })
	var published, stormed error
	var both sync.WaitGroup
	both.Go(func() { published = r.gatekeeper.publish(ctx, r.began, r.plan.Requests) })
	both.Go(func() { stormed = r.storm(ctx, r.began) })
	both.Wait()
	if err := errors.Join(published, stormed); err != nil {
		stop()
		reading.Wait()
		return nil, err
	}
	r.say("the storm is over")
	var problems []check.Problem
	unfinished := r.settle(ctx)
	for _, text := range unfinished {
		problems = append(problems, check.Problem{Kind: check.Queued, Text: text})
	}
	for _, m := range r.machines {
		if m.down() {
			problems = append(problems, check.Problem{Kind: check.Lost, Text: m.name + " has ended by itself: see its log"})
		}
		if err := m.stop(ctx, drainLimit); err != nil {
			problems = append(problems, check.Problem{Kind: check.Leftover, Text: err.Error()})
		}
	}
	r.say("all workers have ended")
	stop()
	reading.Wait()
	rest, err := r.judge(ctx)
	if len(unfinished) > 0 {
		rest = slices.DeleteFunc(rest, ofUnfinished)
	}
	return append(problems, rest...), err
}

// ofUnfinished are problems that a round must have whose workers were not done when their time was over. What was really lost
// then cannot be told from what is still to be done.
func ofUnfinished(p check.Problem) bool {
	switch p.Kind {
	case check.Lost, check.Unannounced, check.Queued, check.Leftover:
		return true
	}
	return false
}

// leaseLimit is how long leases are waited for when all else is done: they are removed behind a worker's back.
const leaseLimit = time.Minute

// settle waits until nothing is left to do, at most for the limit, and says what then still waits.
func (r *round) settle(ctx context.Context) (waits []string) {
	within, cancel := context.WithTimeout(ctx, r.options.settle)
	defer cancel()
	waits, done := r.await(within, r.waits)
	if !done {
		return []string{fmt.Sprintf("%s after the storm this still waits: %s", r.options.settle, strings.Join(waits, "; "))}
	}
	r.say("all requests are done")
	brief, cancel := context.WithTimeout(within, leaseLimit)
	defer cancel()
	_, _ = r.await(brief, func(ctx context.Context) []string { // those that stay are seen by the checker
		leases, err := r.leases(ctx)
		if err != nil {
			return []string{err.Error()}
		}
		return leases
	})
	return nil
}

// await asks until it is told three times in a row that nothing waits, or until the context ends.
func (r *round) await(ctx context.Context, ask func(context.Context) []string) (waits []string, done bool) {
	for calm := 0; calm < 3; {
		if now := ask(ctx); len(now) == 0 {
			calm++
		} else {
			calm, waits = 0, now
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return waits, false
		}
	}
	return nil, true
}

// waits lists what is still to be done.
func (r *round) waits(ctx context.Context) (all []string) {
	depths, err := r.depths(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(depths)) {
		if depths[name] > 0 {
			all = append(all, fmt.Sprintf("%s: %d messages", name, depths[name]))
		}
	}
	for _, m := range r.machines {
		for _, folder := range []string{"run", "spool", "rejected"} {
			left, err := os.ReadDir(m.path("state", folder))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return append(all, err.Error())
			}
			if len(left) > 0 {
				all = append(all, fmt.Sprintf("%s: %d in state/%s", m.name, len(left), folder))
			}
		}
	}
	return all
}

// judge looks at what is left. A store's listing may be late by some seconds when one of its servers was away: what is
// missing in it is looked for again.
func (r *round) judge(ctx context.Context) ([]check.Problem, error) {
	state, err := r.state(ctx)
	if err != nil {
		return nil, err
	}
	problems := check.Check(state)
	for until := time.Now().Add(r.options.late); len(problems) > 0 && time.Now().Before(until); {
		if !sleep(ctx, 2*time.Second) {
			break
		}
		if state.Stored, err = r.fetch(ctx); err != nil {
			return nil, err
		}
		problems = check.Check(state)
	}
	r.add("requests", len(state.Requests))
	r.add("results", len(state.Stored))
	r.add("completion messages", len(state.Completions))
	return problems, nil
}

// clear ends what the round has started and removes what it has made, whatever became of it. Results stay: they go with the
// store.
func (r *round) clear(ctx context.Context) error {
	var err error
	for _, m := range r.machines {
		err = errors.Join(err, m.shut(ctx))
		m.link.Close()
		if m.disk.path != "" {
			err = errors.Join(err, m.disk.unmount())
		}
	}
	if r.storefront != nil {
		r.storefront.close()
	}
	for _, q := range r.queues {
		err = errors.Join(err, r.stack.management.DeleteQueue(ctx, q.Name(), false))
	}
	err = errors.Join(err, r.stack.management.DeleteUser(ctx, workerUser))
	return errors.Join(err, os.RemoveAll(r.folder))
}
