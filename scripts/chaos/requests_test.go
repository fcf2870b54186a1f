package main

import (
	"errors"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// What is to be run can be run, what is malformed is malformed, and no two bodies are equal: a result is found by its key.
func TestMessages(t *testing.T) {
	t.Parallel()
	p := plan.New(3, plan.Options{Requests: 200, Storm: time.Minute, Machines: 1})
	bodies := map[string]string{}
	for _, planned := range p.Requests {
		q, wanted, err := message(planned, "stone", time.Now())
		if err != nil || q.Validate() != nil {
			t.Fatalf("%s: %v, %v", planned.Key, err, q.Validate())
		}
		if other, twice := bodies[string(wanted.Body)]; twice {
			t.Errorf("%s and %s have the same body", planned.Key, other)
		}
		bodies[string(wanted.Body)] = planned.Key
		r, err := request.Parse(wanted.Body)
		if planned.Malformed != "" {
			if !errors.Is(err, request.ErrMalformed) {
				t.Errorf("%s, malformed by its %s: %v", planned.Key, planned.Malformed, err)
			}
			continue
		}
		if err != nil || r.Validate() != nil || r.Context(q.Context == request.Huge) != q.Context {
			t.Errorf("%s: %v, %v, context %q in queue %s", planned.Key, err, r.Validate(), r.Context(false), q.Name())
		}
	}
}
