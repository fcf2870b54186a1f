package testbedtest

import (
	"testing"
	"time"
)

// patience is for a machine that is busy with other tests: a testbed that takes three seconds may then take a minute.
const patience = 5 * time.Minute

// Await waits for something that only shows by looking.
func Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	await(t, patience, what, done)
}

func await(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
}
