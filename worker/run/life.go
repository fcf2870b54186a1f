package run

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// State is where a request is in its life. The picture is in doc.go.
type State string

// The states, in order. After End nothing follows.
const (
	Accept   State = "accept"
	Wait     State = "wait"
	Decline  State = "decline"
	Prepare  State = "prepare"
	Run      State = "run"
	Abort    State = "abort"
	Collect  State = "collect"
	Spool    State = "spool"
	Store    State = "store"
	Announce State = "announce"
	Ack      State = "ack"
	Reject   State = "reject"
	Handback State = "handback"
	Shelve   State = "shelve"
	End      State = "end"
)

// States lists all of them but the last.
var States = []State{
	Accept, Wait, Decline, Prepare, Run, Abort, Collect, Spool, Store, Announce, Ack, Reject, Handback, Shelve,
}

// step does what a state is for and returns the next one. When the context has ended, what it returns does not count: the
// next state is Handback, or Shelve once the result lies in the spool.
type step func(*life, context.Context) State

// steps is the machine.
var steps = map[State]step{
	Accept:   (*life).accept,
	Wait:     (*life).wait,
	Prepare:  (*life).prepare,
	Run:      (*life).run,
	Decline:  (*life).decline,
	Abort:    (*life).abort,
	Collect:  (*life).collect,
	Spool:    (*life).spool,
	Store:    (*life).store,
	Announce: (*life).announce,
}

// last are the steps that a stopping worker does not interrupt: they settle the request and take no time.
var last = map[State]step{
	Ack:      (*life).ack,
	Reject:   (*life).reject,
	Handback: (*life).handback,
	Shelve:   (*life).shelve,
}

// life is one request in this worker.
type life struct {
	worker   *Worker
	id       string
	log      *slog.Logger
	delivery Delivery
	entry    *entry
	state    *state
	began    time.Time
	first    State
	now      atomic.Value // State
	spooled  atomic.Bool  // the result lies in the spool

	mu        sync.Mutex
	ordered   *command // by an operator
	interrupt func()   // ends the state that the life is in, if a command may
	settled   bool     // for a command it is too late

	freed    func() // told once, when the life no longer needs a slot; nil if it never had one
	freeOnce sync.Once
	seated   atomic.Bool // it has a slot

	request         request.Request // from accept on
	refused         error           // why it is rejected
	declined        string          // why it is not run
	declinedVersion string
	folder          string          // from prepare on
	attempts        []attempt       // from run on
	reporter        *reporter       // from run on
	result          result.Result   // from collect on
	since           time.Time       // when it lay in the spool; zero for one of an earlier start
	parcel          parcel          // from collect on
	at              result.Location // from store on

	lease       *lease.Lease
	watch       *lease.Watch // of others
	waited      bool         // said in the log
	heir        *lease.Other // what was taken over, as it was
	publication publication
	looking     *glimpse // under way or over; nil for none
	inherited   bool     // the result is another life's
	passedOn    bool     // the request is another life's
}

// newLife begins the life of a delivery.
func (w *Worker) newLife(d Delivery, s *state) *life {
	l := w.newLifeOf(newID(), d, s)
	l.lease = w.leases.New(l.leased(), d.Redelivered)
	l.watch = l.lease.Watch()
	return l
}

func (w *Worker) newLifeOf(id string, d Delivery, s *state) *life {
	l := &life{
		worker: w, id: id, delivery: d, entry: w.ledger.open(id, d), state: s, began: time.Now(), first: Accept,
	}
	l.log = w.log.With(append(d.attributes(), "run", l.id)...)
	l.now.Store(Accept)
	l.publication.handle = l.id
	return l
}

// leased is what others are told of the life.
func (l *life) leased() lease.Life {
	return lease.Life{
		Handle: l.id, Request: l.entry.identity, Queue: l.delivery.Queue.Name(), Package: l.delivery.packageName(),
		Since: l.began, Log: l.log,
	}
}

func isStale(err error) bool { return errors.Is(err, queue.ErrStale) }

func (l *life) current() State {
	now, _ := l.now.Load().(State) // newLife has stored one
	return now
}

// live goes from state to state until the end.
func (l *life) live(ctx context.Context) {
	w := l.worker
	w.mu.Lock()
	w.lives[l] = struct{}{}
	w.mu.Unlock()
	l.lease.Keep()
	defer func() {
		w.mu.Lock()
		delete(w.lives, l)
		w.mu.Unlock()
	}()
	defer l.freeSlot()
	last := l.first
	for at := l.first; at != End; {
		l.now.Store(at)
		l.log.Debug("request", "state", at)
		last, at = at, l.step(ctx, at)
	}
	l.now.Store(End)
	l.leave(ctx)
	w.settings.Observer.Ended(l.delivery.Queue, l.ending(last))
}

func (l *life) step(ctx context.Context, at State) State {
	if f := last[at]; f != nil {
		return f(l, ctx)
	}
	next := l.interrupted(ctx, at)
	switch {
	case ctx.Err() == nil || last[next] != nil && next != Handback:
		return next
	case l.spooled.Load():
		return Shelve
	}
	return Handback
}

// accept reads the request. A crash here, or anywhere before the result lies in the spool, leaves the request with the broker.
func (l *life) accept(context.Context) State {
	parsed, err := request.Parse(l.delivery.Body)
	if err != nil {
		l.refused = err
		return Reject
	}
	l.request = parsed
	l.log.Info("request accepted", "triggers", len(parsed.Triggers))
	if l.delivery.Redelivered {
		return Wait
	}
	return l.beginning()
}

// ack ends a life in order. The result is safe whatever becomes of the acknowledgement.
func (l *life) ack(context.Context) State {
	l.lease.Settle()
	switch err := l.entry.ack(); {
	case err == nil:
		l.lease.End(lease.Settled)
		l.log.Info("request done", "run_id", string(l.at.RunID), "exitcode", l.result.ExitCode)
	case errors.Is(err, queue.ErrStale):
		l.lease.End(l.unsettled())
		l.log.Warn("the result is stored, but the session that brought the request is gone: when the request comes "+
			"again, it will be acknowledged without a run", "run_id", string(l.at.RunID))
	default:
		l.lease.End(l.unsettled())
		l.log.Error("the request was not acknowledged", "run_id", string(l.at.RunID), "error", err)
	}
	return End
}

// unsettled is the fate of the lease of a life that could not settle its message. A result is found by its lease, also one of
// a life that had it before.
func (l *life) unsettled() lease.Fate {
	if before, _ := l.lease.Before(straggling); l.publication.seen || l.inherited || len(before) > 0 {
		return lease.Ended
	}
	return lease.Over
}

// handback returns an unfinished request to its queue. What was done for it is forgotten.
func (l *life) handback(context.Context) State {
	l.lease.End(l.unsettled())
	switch err := l.entry.drop().Requeue(); {
	case err == nil:
		l.log.Info("request given back to its queue, nothing published")
	case errors.Is(err, queue.ErrStale):
		l.log.Info("request dropped: the broker has taken it back already")
	default:
		l.log.Error("the request was not given back; the end of the session gives it back", "error", err)
	}
	return End
}

// leave ends what the life started and removes what it made. It also does so when the context has ended, and then it
// must be quick: a supervisor waits for us, and what stays behind is removed at the next start.
func (l *life) leave(ctx context.Context) {
	l.stopLooking()
	l.lease.End(lease.Over) // if nobody has decided otherwise
	if !l.spooled.Load() && l.parcel.folder != "" {
		if err := os.RemoveAll(l.worker.spool.draft(l.id)); err != nil {
			l.log.Error("a result that is not needed is left behind; the next start of the worker removes it", "error", err)
		}
	}
	l.clear(ctx)
}

// clear removes the run's folder.
func (l *life) clear(ctx context.Context) {
	if l.reporter != nil {
		l.reporter.stop()
	}
	if l.folder == "" {
		return
	}
	limit := removeLimit
	if ctx.Err() != nil {
		limit = removeLimitStopping
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := l.worker.testbeds.Remove(within, l.folder); err != nil {
		l.log.Error("the run's folder is left behind; the next start of the worker removes it", "folder", l.folder, "error", err)
	}
	l.folder = ""
}

const (
	removeLimit         = 2 * time.Minute // ample for a root file system on a slow disk
	removeLimitStopping = 5 * time.Second
)
