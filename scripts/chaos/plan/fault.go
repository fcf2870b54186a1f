package plan

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fault is one thing that breaks.
type Fault struct {
	At      time.Duration
	Kind    FaultKind
	Machine int           // the worker that it happens to, if it happens to one
	Length  time.Duration // how long it lasts, or until what was killed is started again
	State   string        // KillWorker: that one is killed whose request enters this state next; empty for the one above, now
	Delay   time.Duration // KillWorker: after the state was entered
	Shift   time.Duration // StepClock: what the clock is then before or after the true time
	Wipe    bool          // KillWorker: the disk is lost as well
	Pick    int           // which one, of several that there may be then
}

// FaultKind is a kind of fault.
type FaultKind string

// The kinds of faults.
const (
	KillWorker  FaultKind = "kill worker"            // SIGKILL
	DrainWorker FaultKind = "restart worker"         // SIGTERM, as for an upgrade
	KillTest    FaultKind = "kill autopkgtest"       // one of the running ones
	KillRun     FaultKind = "kill part of a run"     // the first process of its namespaces, or its network
	StepClock   FaultKind = "step clock"             // of one worker
	FullDisk    FaultKind = "fill disk"              // of one worker
	KillBroker  FaultKind = "kill broker"            // SIGKILL; it is started again at once
	StopBroker  FaultKind = "restart broker"         // in order
	CutBroker   FaultKind = "cut broker"             // all connections of one worker end; new ones are let through
	FreezeLink  FaultKind = "freeze link to broker"  // of one worker: packets are swallowed
	Timeout     FaultKind = "force delivery timeout" // to seconds, on the node
	ExpireToken FaultKind = "store: expire tokens"   // 401 for all that were given out
	TooMany     FaultKind = "store: 429"             // most requests
	Unavailable FaultKind = "store: 503"             // most requests
	CutUpload   FaultKind = "store: cut uploads"     // some in the middle, some when all is sent and before the answer
	StoreAway   FaultKind = "store: away"            // connections are refused or reset
	StoreHangs  FaultKind = "store: hangs"           // connections are taken and nothing is said
	KillStore   FaultKind = "store: kill a process"  // a real one: of Swift, or its memcached
)

// Of one machine?
func (k FaultKind) ofMachine() bool {
	switch k {
	case KillWorker, DrainWorker, StepClock, FullDisk, CutBroker, FreezeLink:
		return true
	}
	return false
}

// FaultKinds are all of them.
var FaultKinds = []FaultKind{
	KillWorker, DrainWorker, KillTest, KillRun, StepClock, FullDisk, KillBroker, StopBroker, CutBroker, FreezeLink, Timeout,
	ExpireToken, TooMany, Unavailable, CutUpload, StoreAway, StoreHangs, KillStore,
}

// States are the states of a request in which a worker is killed, each at least once in a round.
var States = []string{"accept", "wait", "prepare", "run", "collect", "spool", "store", "announce", "ack"}

// rare faults come up once only: a broker needs ten seconds for a restart, and with more of them nothing else would happen.
var rare = map[FaultKind]bool{KillBroker: true, StopBroker: true, Timeout: true}

// repeated faults are those that a round has more of.
func repeated() (kinds []FaultKind) {
	for _, kind := range FaultKinds {
		if !rare[kind] {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func faults(r *rand.Rand, o Options) []Fault {
	var list []Fault
	for _, kind := range FaultKinds {
		if kind != KillWorker {
			list = append(list, fault(r, o, kind))
		}
	}
	killed := map[string]time.Duration{}
	for _, state := range States {
		f := fault(r, o, KillWorker)
		f.State = state
		killed[state] = f.At
		list = append(list, f)
	}
	// Only requests that come back wait: one worker dies, and then the one that was given its requests.
	for i, f := range list {
		if f.State == "wait" {
			list[i].At = killed["run"] + 100*time.Millisecond
		}
	}
	for len(list) < o.Faults {
		list = append(list, fault(r, o, pick(r, repeated())))
	}
	sortByTime(list, func(f Fault) time.Duration { return f.At })
	return list
}

func fault(r *rand.Rand, o Options, kind FaultKind) Fault {
	f := Fault{Kind: kind, At: between(r, time.Second, o.Storm), Pick: r.IntN(1 << 16)}
	if kind.ofMachine() {
		f.Machine = r.IntN(o.Machines)
	}
	switch kind {
	case KillWorker:
		f.Length, f.Delay = between(r, 0, 3*time.Second), between(r, 0, 60*time.Millisecond)
		f.State = pick(r, append([]string{""}, States...))
		f.Wipe = o.Wipe && r.IntN(4) == 0
	case DrainWorker:
		f.Length = between(r, 0, time.Second)
	case StepClock:
		f.Shift = -between(r, time.Second, 2*time.Hour)
		if r.IntN(3) == 0 { // its way back is a step back, too
			f.Shift = between(r, time.Second, time.Hour)
		}
		f.Length = between(r, 5*time.Second, 30*time.Second)
	case FullDisk:
		f.Length = between(r, 4*time.Second, 12*time.Second)
	case FreezeLink:
		// From a hiccup to more than what the heartbeat allows.
		f.Length = between(r, 2*time.Second, 40*time.Second)
	case Timeout:
		f.Length = between(r, 15*time.Second, 25*time.Second)
	case TooMany, Unavailable, CutUpload, StoreAway, StoreHangs:
		f.Length = between(r, 4*time.Second, max(12*time.Second, o.Storm/8))
	}
	return f
}

// String is the fault in the words of a report.
func (f Fault) String() string {
	text := fmt.Sprintf("%6.1f s  %s", f.At.Seconds(), f.Kind)
	if f.Kind.ofMachine() && f.State == "" {
		text += fmt.Sprintf(", worker %d", f.Machine)
	}
	if f.State != "" {
		text += fmt.Sprintf(", %s after %s", f.Delay, f.State)
	}
	if f.Shift != 0 {
		text += fmt.Sprintf(" by %s", f.Shift)
	}
	if f.Wipe {
		text += ", with its disk"
	}
	if f.Length != 0 {
		text += fmt.Sprintf(", for %s", f.Length)
	}
	return text
}
