package check

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// sound is a round of three requests and a malformed one in which all went well.
func sound() State {
	s := State{Queues: map[string]int{"debci-stone-amd64": 0}}
	for n := range 3 {
		key := fmt.Sprintf("k%d", n)
		place := result.Location{Container: "autopkgtest-stone", Release: "stone", Architecture: "amd64", Package: "gzip"}
		body := []byte("gzip\n" + key)
		s.Requests = append(s.Requests, Request{Key: key, Body: body, Place: place, Codes: []int{0, 16}, Least: 1, Most: 1})
		when := noon.Add(time.Duration(n) * time.Second)
		place.RunID = result.NewRunID(when, body, "amd64", "stone")
		s.Stored = append(s.Stored, Stored{
			At: place, Modified: when, Seen: true,
			Result: result.Result{ExitCode: 0, Triggers: []string{Trigger(key)}, Request: body},
		})
		s.Completions = append(s.Completions, queue.Completion{Location: place})
	}
	s.Requests = append(s.Requests, Request{Key: "m0", Body: []byte("?"), Malformed: true, Least: 1, Most: 1})
	s.Rejected = []Rejected{{Body: []byte("?"), Reason: "no package"}}
	return s
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*State)
		want  []Kind
	}{
		"all is well": {func(*State) {}, nil},
		"a lost result.tar": {func(s *State) {
			s.Stored = slices.Delete(s.Stored, 1, 2)
		}, []Kind{Lost, Misleading}},
		"a request that was acknowledged and never run": {func(s *State) {
			s.Stored, s.Completions = s.Stored[:2], s.Completions[:2]
		}, []Kind{Lost}},
		"a doubled result": {func(s *State) {
			again := s.Stored[0]
			again.At.RunID = result.NewRunID(noon.Add(time.Minute), s.Requests[0].Body, "amd64", "stone")
			again.Modified = noon.Add(time.Minute)
			s.Stored = append(s.Stored, again)
			s.Completions = append(s.Completions, queue.Completion{Location: again.At})
		}, []Kind{Doubled}},
		"a damaged result.tar": {func(s *State) {
			s.Stored[2].Result, s.Stored[2].Err = result.Result{}, errors.New("unexpected EOF")
		}, []Kind{Unreadable, Lost}},
		"a result without triggers": {func(s *State) {
			s.Stored[2].Result.Triggers = nil
		}, []Kind{Lost, Wrong}},
		"a result with one trigger more": {func(s *State) {
			s.Stored[2].Result.Triggers = append(s.Stored[2].Result.Triggers, "more/1")
		}, []Kind{Wrong}},
		"a result in another package's folder": {func(s *State) {
			s.Stored[2].At.Package = "hello"
			s.Completions[2].Location.Package = "hello"
		}, []Kind{Wrong}},
		"a result in another container": {func(s *State) {
			s.Stored[2].At.Container = "autopkgtest-wood"
			s.Completions[2].Location.Container = "autopkgtest-wood"
		}, []Kind{Wrong}},
		"another request in the result": {func(s *State) { s.Stored[0].Result.Request = []byte("x") }, []Kind{Wrong}},
		"an exit code that cannot be":   {func(s *State) { s.Stored[0].Result.ExitCode = 4 }, []Kind{Wrong}},
		"a failed testbed for nothing": {func(s *State) {
			s.Requests[0].Codes, s.Requests[0].Killed = []int{0}, 2
			s.Stored[0].Result.ExitCode = 16
		}, []Kind{Wrong}},
		"a failed testbed, killed at each attempt": {func(s *State) {
			s.Requests[0].Codes, s.Requests[0].Killed = []int{0}, 3
			s.Stored[0].Result.ExitCode = 16
		}, nil},
		"a result of nobody's request": {func(s *State) {
			s.Requests = s.Requests[1:]
		}, []Kind{Wrong}},
		"a result that the gatekeeper passed over": {func(s *State) { s.Stored[0].Seen = false }, []Kind{Unseen}},
		"a lower run id that was stored later": {func(s *State) {
			s.Stored[0].Modified = noon.Add(3 * time.Second)
		}, []Kind{Order}},
		"the same, in two packages": {func(s *State) {
			s.Stored[0].Modified = noon.Add(3 * time.Second)
			for _, at := range []*result.Location{&s.Requests[0].Place, &s.Stored[0].At, &s.Completions[0].Location} {
				at.Package = "green"
			}
		}, nil},
		"no completion message":      {func(s *State) { s.Completions = s.Completions[:2] }, []Kind{Unannounced}},
		"a completion message twice": {func(s *State) { s.Completions = append(s.Completions, s.Completions[0]) }, nil},
		"a completion message for a removed result": {func(s *State) {
			gone := s.Completions[0]
			gone.Location.RunID = "20261125_115959_aaaaa@"
			s.Completions = append(s.Completions, gone, gone)
		}, []Kind{Misleading}},
		"a malformed request that is gone":          {func(s *State) { s.Rejected = nil }, []Kind{Rejection}},
		"a malformed request, rejected twice":       {func(s *State) { s.Rejected = append(s.Rejected, s.Rejected[0]) }, nil},
		"a malformed request, rejected for nothing": {func(s *State) { s.Rejected[0].Reason = "" }, []Kind{Rejection}},
		"a sound request, rejected": {func(s *State) {
			s.Rejected = append(s.Rejected, Rejected{Body: s.Requests[0].Body, Reason: "no"})
		}, []Kind{Rejection}},
		"an unconfirmed request that never arrived": {func(s *State) {
			s.Requests = append(s.Requests, Request{Key: "k9", Most: 1}, Request{Key: "m9", Most: 1, Malformed: true})
		}, nil},
		"an unconfirmed request with two results": {func(s *State) {
			s.Requests[0].Least = 0
			s.Stored[1].Result = s.Stored[0].Result
		}, []Kind{Doubled, Lost}},
		"two equal requests with one result": {func(s *State) {
			s.Requests[0].Least, s.Requests[0].Most = 2, 2
		}, nil},
		"two equal requests without a result": {func(s *State) {
			s.Requests[0].Least, s.Requests[0].Most = 2, 2
			s.Stored, s.Completions = s.Stored[1:], s.Completions[1:]
		}, []Kind{Lost}},
		"two equal requests, one of them unconfirmed": {func(s *State) {
			s.Requests[0].Most = 2
		}, nil},
		"a message in a queue": {func(s *State) { s.Queues["debci-stone-amd64"] = 1 }, []Kind{Queued}},
		"a folder that was left": {func(s *State) {
			s.Leftovers = []string{"worker 1: state/run/20261125-120000-aaaaaaaa"}
		}, []Kind{Leftover}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sound()
			test.spoil(&s)
			var got []Kind
			problems := Check(s)
			for _, p := range problems {
				got = append(got, p.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("kinds of problems (-want +got):\n%s%v", diff, problems)
			}
		})
	}
}
