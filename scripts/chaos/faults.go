package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
)

const (
	// stateLimit is how long a kill waits for a request to enter the wanted state. Then the worker is killed where it is.
	stateLimit = 30 * time.Second
	// victimLimit is how long a kill waits for something to kill.
	victimLimit = 10 * time.Second
	// drainLimit is more than the drain timeout of the workers.
	drainLimit = 40 * time.Second
)

// storm lets the faults of a plan happen at their times, and returns when all of them are over and every worker runs.
func (r *round) storm(ctx context.Context, began time.Time) error {
	var faults sync.WaitGroup
	for _, f := range r.plan.Faults {
		if !sleep(ctx, time.Until(began.Add(f.At))) {
			break
		}
		faults.Go(func() {
			note, err := r.happen(ctx, f)
			if err != nil {
				first, _, _ := strings.Cut(err.Error(), "\n")
				note += ": " + first
			}
			r.say("%s%s", f, note)
		})
	}
	faults.Wait()
	var err error
	for _, m := range r.machines {
		err = errors.Join(err, m.start())
	}
	return errors.Join(err, context.Cause(ctx))
}

// restarting is noted when two faults would end the same worker.
const restarting = " (it is being restarted already)"

// happen is one fault from its begin to its end. Faults may meet each other and then find nothing to break: that is no
// failure of the round, so its error is noted only.
func (r *round) happen(ctx context.Context, f plan.Fault) (note string, err error) {
	m := r.machines[f.Machine]
	lasting := func(begin func() error, end func() error) error {
		err := begin()
		sleep(ctx, f.Length)
		return errors.Join(err, end())
	}
	switch f.Kind {
	case plan.KillWorker:
		return r.killWorker(ctx, f)
	case plan.DrainWorker:
		if !m.restart.TryLock() {
			return restarting, nil
		}
		defer m.restart.Unlock()
		err := m.stop(ctx, drainLimit)
		sleep(ctx, f.Length)
		return "", errors.Join(err, m.start())
	case plan.KillTest:
		return r.killRun(ctx, f, running.isTest)
	case plan.KillRun:
		return r.killRun(ctx, f, running.isScaffold)
	case plan.StepClock:
		return "", lasting(func() error { return m.clock.step(f.Shift) }, func() error { return m.clock.step(0) })
	case plan.FullDisk:
		return "", lasting(m.disk.fill, func() error { return m.disk.resize(diskSize) })
	case plan.KillBroker:
		return "", r.stack.signalBroker(ctx, syscall.SIGKILL)
	case plan.StopBroker:
		return "", r.stack.signalBroker(ctx, syscall.SIGTERM)
	case plan.CutBroker:
		m.link.Cut()
	case plan.FreezeLink:
		m.link.Freeze()
		sleep(ctx, f.Length)
		m.link.Thaw()
	case plan.Timeout:
		return "", r.forceTimeout(ctx, f)
	case plan.ExpireToken:
		r.storefront.expire()
	case plan.TooMany, plan.Unavailable, plan.CutUpload, plan.StoreAway, plan.StoreHangs:
		heal := r.storefront.fail(f.Kind)
		sleep(ctx, f.Length)
		heal()
	case plan.KillStore:
		return r.killStore(ctx, f)
	default:
		return "", fmt.Errorf("nobody knows how to do %q", f.Kind)
	}
	return "", nil
}

// killWorker kills the worker whose request is the next to enter a state, or any worker, and starts it again.
func (r *round) killWorker(ctx context.Context, f plan.Fault) (note string, err error) {
	m, entered := r.machines[f.Machine], false
	if f.State != "" {
		limit := time.NewTimer(stateLimit)
		defer limit.Stop()
		select {
		case m = <-r.watch.entered(f.State):
			note = fmt.Sprintf(" (worker %d)", m.number)
			entered = true
			sleep(ctx, f.Delay)
		case <-limit.C:
			note = " (no request came to that state)"
		case <-ctx.Done():
			return "", nil
		}
	}
	if !m.restart.TryLock() {
		return note + restarting, nil
	}
	defer m.restart.Unlock()
	if err := m.kill(ctx); err != nil {
		return note, err
	}
	if entered {
		r.add("killed at "+f.State, 1)
	}
	if f.Wipe {
		err = m.disk.empty()
	}
	sleep(ctx, f.Length)
	return note, errors.Join(err, m.start())
}

// killRun kills a process of one of the workers' runs.
func (r *round) killRun(ctx context.Context, f plan.Fault, wanted func(running) bool) (note string, err error) {
	for until := time.Now().Add(victimLimit); time.Now().Before(until); {
		all, err := processesOf(r.machines...)
		if err != nil {
			return "", err
		}
		if victims := slices.DeleteFunc(slices.Clone(all), func(p running) bool { return !wanted(p) }); len(victims) > 0 {
			victim := victims[f.Pick%len(victims)]
			r.add(string(f.Kind), 1)
			r.killedTests(testsWithin(all, victim))
			return fmt.Sprintf(" (%s)", victim), victim.kill()
		}
		if !sleep(ctx, 50*time.Millisecond) {
			break
		}
	}
	return " (none ran)", nil
}

// killedTests notes whose tests were killed.
func (r *round) killedTests(keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		r.killed[key]++
	}
}

// forceTimeout gives the node a delivery timeout of seconds for a while. Channels know the one with which they were opened,
// so all connections are cut, before and after.
func (r *round) forceTimeout(ctx context.Context, f plan.Fault) (err error) {
	var restore func(context.Context) error
	for tries := 0; ; tries++ {
		if restore, err = r.stack.forceTimeout(ctx); err == nil {
			break
		}
		if tries == 20 || !sleep(ctx, time.Second) {
			return err
		}
	}
	r.cutAll()
	sleep(ctx, f.Length)
	for tries := 0; ; tries++ {
		err := restore(context.WithoutCancel(ctx))
		if err == nil || tries == 10 {
			r.cutAll()
			return err
		}
		sleep(ctx, time.Second) // the node may be on its way up; then it has forgotten the forced one
	}
}

func (r *round) cutAll() {
	for _, m := range r.machines {
		m.link.Cut()
	}
}

// killStore kills a process of the real store. Its supervisor starts it again.
func (r *round) killStore(ctx context.Context, f plan.Fault) (note string, err error) {
	pids, err := r.stack.pids(ctx, "swift")
	if err != nil {
		return "", err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(pids)), func(name string) bool { return strings.HasSuffix(name, "updater") })
	if len(names) == 0 {
		return " (none ran)", nil
	}
	name := names[f.Pick%len(names)]
	return " (" + name + ")", syscall.Kill(pids[name], syscall.SIGKILL)
}
