package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Namespaces take longer to make than anything else before a run: a tenth of a second on a busy machine. So a few are made
// ahead, with the way out of their network and its filter. What a run is, is told to them when it comes: its files, its
// command, its limits. Its filter, too: it is made anew for each run, and where it is not the one that was loaded ahead (an
// address of the machine has changed, or what may be reached), it takes that one's place before anything of the run is there.

// mostAhead is how many sets of namespaces are kept for runs. Those of a set take a few megabytes; more than these would
// be of use only to a machine whose requests come at the same time, which then keeps all of it busy anyway.
const mostAhead = 2

// aheadPause lets the run that has taken a set begin, and quick ones end, before the next set is made.
const aheadPause = 700 * time.Millisecond

// aheadLook is how often the sets are looked at: one that has died must not be found out by a run.
const aheadLook = 5 * time.Second

// ahead are sets of namespaces that wait for their command. Its methods may be called from several goroutines.
type ahead struct {
	mu     sync.Mutex
	open   bool
	runs   []*namespaces // with a network
	cleans []*namespaces // without one, to clean up after a run
	last   confinement   // of the last run: the next one's network is most likely the same
	used   chan struct{} // has an entry when the keeper should look
}

func newAhead() *ahead { return &ahead{used: make(chan struct{}, 1)} }

// take gives a set away that a command can be told to; nil if there is none.
func (a *ahead) take(c confinement) *namespaces {
	if a == nil || c.plain || c.stdout != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.open {
		return nil
	}
	from := &a.cleans
	if c.inside.Network != nil {
		from = &a.runs
		a.last = confinement{gateway: c.gateway}
		a.last.inside.Network = c.inside.Network
	}
	select {
	case a.used <- struct{}{}:
	default:
	}
	i := slices.IndexFunc(*from, func(n *namespaces) bool { return n.fits(c) })
	if i < 0 {
		return nil
	}
	n := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return n
}

// fits says whether the namespaces live and have the network that is wanted, but for the filter in there. That of a gateway
// is part of it.
func (n *namespaces) fits(wanted confinement) bool {
	var wayOutGone <-chan struct{}
	if n.wayOut != nil {
		wayOutGone = n.wayOut.gone()
	}
	select {
	case <-n.p.gone:
		return false
	case <-wayOutGone:
		return false
	default:
		network := wanted.inside.Network
		return network == nil || network.IPv6 == n.network.IPv6 && reflect.DeepEqual(wanted.gateway, n.gateway)
	}
}

// unfit takes those sets out that no run should get: all beyond the most, and those that have died.
func (a *ahead) unfit(most int) []*namespaces {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*namespaces
	keep := func(from []*namespaces, wanted confinement, most int) []*namespaces {
		return slices.DeleteFunc(from, func(n *namespaces) bool {
			most--
			if most >= 0 && n.fits(wanted) {
				return false
			}
			out = append(out, n)
			return true
		})
	}
	a.runs, a.cleans = keep(a.runs, a.last, most), keep(a.cleans, confinement{}, min(most, 1))
	return out
}

// missing says how many sets there could be more.
func (a *ahead) missing(most int) (runs, cleans int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return most - len(a.runs), min(most, 1) - len(a.cleans)
}

func (a *ahead) add(n *namespaces) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n.network != nil {
		a.runs = append(a.runs, n)
	} else {
		a.cleans = append(a.cleans, n)
	}
}

// KeepAhead keeps namespaces ready for runs until the context ends, and returns when those that nobody took have gone.
// wanted says how many runs may come at the same time, now; it is asked often. mark is a folder, which need not exist: the
// processes are known by it, see RemoveLeftovers, also when a run has them.
func (r *Runner) KeepAhead(ctx context.Context, mark string, wanted func() int) {
	if r.backend.Properties().OnMachine {
		return // its runs have no network of their own
	}
	r.ahead.set(true)
	defer func() {
		r.ahead.set(false)
		r.endAhead(0)
	}()
	told := ""
	for {
		most := min(wanted(), mostAhead)
		r.endAhead(most)
		if err := r.fillAhead(ctx, mark, most); err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			r.log.Warn("namespaces cannot be made ahead; each run makes its own", "error", err)
		}
		timer := time.NewTimer(aheadLook)
		select {
		case <-timer.C:
		case <-r.ahead.used:
			timer.Reset(aheadPause)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (a *ahead) set(open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = open
}

// endAhead ends sets beyond the most, and what is left of dead ones.
func (r *Runner) endAhead(most int) {
	for _, n := range r.ahead.unfit(most) {
		n.end(r.log)
	}
}

// fillAhead makes what is missing, one after the other: nobody waits for it.
func (r *Runner) fillAhead(ctx context.Context, mark string, most int) error {
	runs, cleans := r.ahead.missing(most)
	for ; runs > 0; runs-- {
		c := confinement{privileged: r.backend.Properties().Privileged, mark: mark, log: r.log}
		if err := r.joinLikely(ctx, &c); err != nil {
			return err
		}
		if err := r.makeAhead(ctx, c); err != nil {
			return err
		}
	}
	for ; cleans > 0; cleans-- {
		if err := r.makeAhead(ctx, confinement{privileged: os.Geteuid() == 0, mark: mark, log: r.log}); err != nil {
			return err
		}
	}
	return nil
}

// joinLikely gives a command the network of the last run, or that of one without an image.
func (r *Runner) joinLikely(ctx context.Context, command *confinement) error {
	r.ahead.mu.Lock()
	last := r.ahead.last
	r.ahead.mu.Unlock()
	if last.inside.Network != nil {
		command.inside.Network, command.gateway = last.inside.Network, last.gateway
		return nil
	}
	gate, err := r.filter(ctx, "", r.log)
	if err != nil {
		return err
	}
	r.joinNetwork(command, gate)
	return nil
}

// makeAhead makes one set and waits until it is ready.
func (r *Runner) makeAhead(ctx context.Context, c confinement) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, errors.New("not ready within "+checkLimit.String()))
	defer cancel()
	n, err := c.make(ctx, nil)
	if err == nil && n.network != nil {
		err = n.awaitReady(ctx)
		if err != nil {
			n.end(r.log)
		}
	}
	if err != nil {
		return fmt.Errorf("make namespaces ahead: %w", err)
	}
	r.ahead.add(n)
	return nil
}

func (n *namespaces) awaitReady(ctx context.Context) error {
	select {
	case message, open := <-n.p.reports:
		switch {
		case open && message.Ready:
			return nil
		case open && message.Error != "":
			return n.p.explain(errors.New(message.Error))
		}
		return n.p.explain(errEnded)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ahead is how many sets of namespaces are ready for runs.
func (r *Runner) Ahead() int {
	r.ahead.mu.Lock()
	defer r.ahead.mu.Unlock()
	return len(r.ahead.runs)
}
