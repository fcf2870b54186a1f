package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// ErrNoRoom means that no further testbed can be made now, although nothing is broken: what there is for them is used up.
var ErrNoRoom = errors.New("no room for a testbed")

// Roomer is a backend whose testbeds need something of which there is a certain amount.
type Roomer interface {
	// Room says why a testbed cannot be made now, in an ErrNoRoom. It is asked often and answers from what it knows.
	Room(Testbed) error
}

// Tender is a backend with something to do beside runs: it keeps an eye on places, and removes what dead programs have left.
type Tender interface {
	// Tend does that until ctx ends. It is called once, by a program that alone has the state directory of its worker.
	Tend(ctx context.Context, with Tending)
	// Places are where testbeds are made, in order; not nil, also when none is known yet.
	Places() []Place
}

// Tending is what a Tender is told.
type Tending struct {
	Worker string // see WithWorker
	// Given are the operator's arguments for the testbeds that may be asked for, as in Testbed. They may change.
	Given func() [][]string
	// Alive are the names of the testbeds of this program that somebody uses. Whoever compares them with what is there has to look
	// at what is there first: a testbed is in use before it is made.
	Alive func() []string
	// Over picks, of testbeds of other workers, those that nobody uses any more, and nobody else removes. It must be sure.
	Over func(context.Context, []Owner) ([]Owner, error)
	Log  *slog.Logger
}

// Owner is whose a testbed is.
type Owner struct {
	Worker, Run string // as in Testbed
}

// Trier is a backend that can tell without making a testbed whether what it would be made from is there.
type Trier interface {
	// Try looks for everything that testbeds with these arguments of the operator's need. The error names what is missing, everywhere.
	Try(ctx context.Context, given [][]string) error
}

// Place is somewhere where testbeds are made: a region of a cloud.
type Place struct {
	Name  string
	State BreakerState
	// Room is how many ordinary testbeds could still be made there, if nobody else makes any; negative for not known.
	Room int
	// Reason says why the place is not used; nil while it is.
	Reason error
}

// Tend has the backend do what is to be done beside runs, until ctx ends; most have nothing. queues are those that are served.
func (r *Runner) Tend(ctx context.Context, queues func() []request.Queue, over func(context.Context, []Owner) ([]Owner, error)) {
	tender, ok := r.backend.(Tender)
	if !ok {
		return
	}
	given := func() (all [][]string) {
		for _, queue := range oneOfEach(queues()) {
			all = append(all, r.testbed(r.tailored(Job{Queue: queue})).Given)
		}
		return all
	}
	tender.Tend(ctx, Tending{Worker: r.worker, Given: given, Alive: r.testbeds.all, Over: over, Log: r.log})
}

// Places are the backend's; none of one that makes its testbeds on this machine.
func (r *Runner) Places() []Place {
	if tender, ok := r.backend.(Tender); ok {
		return tender.Places()
	}
	return nil
}

// CheckPlaces says that testbeds can be made nowhere, with the reasons.
func (r *Runner) CheckPlaces(context.Context) error {
	var reasons []error
	for _, place := range r.Places() {
		if place.Reason == nil {
			return nil
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", place.Name, place.Reason))
	}
	return errors.Join(reasons...)
}

// Try says what is missing for testbeds with these arguments, the backend's name first.
func (r *Runner) Try(ctx context.Context, arguments [][]string) error {
	trier, ok := r.backend.(Trier)
	if !ok {
		return nil
	}
	var given [][]string
	for _, words := range arguments {
		if len(words) > 0 {
			given = append(given, words[1:])
		}
	}
	return trier.Try(ctx, given)
}

// room asks the backend for a queue.
func (r *Runner) room(queue request.Queue) error {
	if roomer, ok := r.backend.(Roomer); ok {
		return roomer.Room(r.testbed(r.tailored(Job{Queue: queue})))
	}
	return nil
}

// testbeds are the names of those that are in use.
type testbeds struct {
	mu    sync.Mutex
	names map[string]bool
}

func (t *testbeds) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names == nil {
		t.names = map[string]bool{}
	}
	t.names[name] = true
}

func (t *testbeds) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, name)
}

func (t *testbeds) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.names))
}
