package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var short = Options{Requests: 100, Storm: 75 * time.Second, Machines: 3, Faults: 30, Wipe: true}

// A seed that is printed must give the same round again.
func TestSeedReplays(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(New(42, short), New(42, short)); diff != "" {
		t.Errorf("the same seed gives another plan:\n%s", diff)
	}
	if cmp.Equal(New(42, short).Faults, New(43, short).Faults) {
		t.Error("another seed gives the same faults")
	}
	more := short
	more.Requests++
	if diff := cmp.Diff(New(42, short).Faults, New(42, more).Faults); diff != "" {
		t.Errorf("one request more changes the faults:\n%s", diff)
	}
}

func TestEveryFaultAndStateComesUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		p := New(seed, short)
		for _, kind := range FaultKinds {
			if !slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == kind }) {
				t.Errorf("seed %d: no fault of kind %q", seed, kind)
			}
		}
		for _, state := range States {
			if !slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == KillWorker && f.State == state }) {
				t.Errorf("seed %d: no worker is killed at %s", seed, state)
			}
		}
		for _, f := range p.Faults {
			if f.At <= 0 || f.At > short.Storm || f.Machine >= short.Machines {
				t.Errorf("seed %d: %v is not within the round", seed, f)
			}
			if f.Shift > 6*time.Hour || f.Shift < -6*time.Hour {
				t.Errorf("seed %d: %v: a worker refuses to publish that far from the others", seed, f)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	p := New(7, short)
	keys := map[string]bool{}
	valid := 0
	for i, q := range p.Requests {
		if keys[q.Key] {
			t.Errorf("key %s is there twice", q.Key)
		}
		keys[q.Key] = true
		if i > 0 && q.At < p.Requests[i-1].At {
			t.Errorf("%s is out of order", q.Key)
		}
		if q.Malformed == "" {
			valid++
		}
	}
	if valid != short.Requests || len(p.Requests) == valid {
		t.Errorf("%d valid requests of %d, want %d and some malformed ones", valid, len(p.Requests), short.Requests)
	}
}
