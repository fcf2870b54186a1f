package management

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const healthPath = "GET /api/health/checks/virtual-hosts "

func TestStoppedVHosts(t *testing.T) {
	t.Parallel()
	const running, stopped = "running", "stopped"
	for name, tc := range map[string]struct {
		vhosts map[string]map[string]string
		want   []string
		calls  int
	}{
		"all run":         {map[string]map[string]string{"/": {fakeNode: running}, "b": {fakeNode: running}}, nil, 1},
		"on another node": {map[string]map[string]string{"/": {fakeNode: running, "y@other": stopped}}, nil, 1},
		"one":             {map[string]map[string]string{"/": {fakeNode: stopped, "y@other": running}, "b": {fakeNode: running}}, []string{"/"}, 2},
		"several":         {map[string]map[string]string{"b": {fakeNode: stopped}, "/": {fakeNode: stopped}}, []string{"/", "b"}, 2},
		"nothing is said": {map[string]map[string]string{"/": {"y@other": running}}, []string{"/"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, m := newFakeBroker(t)
			f.vhosts = tc.vhosts
			got, err := m.StoppedVHosts(t.Context(), fakeNode)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.requests) != tc.calls || f.requests[0] != healthPath {
				t.Errorf("asked %q, want %d calls", f.requests, tc.calls)
			}
		})
	}
}

// TestStoppedVHostsIsNotGuessed: what is not known is an error, never "all run".
func TestStoppedVHostsIsNotGuessed(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		http.StatusServiceUnavailable: ErrUnavailable, // also the listing's
		http.StatusNotFound:           ErrNotFound,
		http.StatusUnauthorized:       ErrDenied,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			f, m := newFakeBroker(t)
			f.failWith = status
			if got, err := m.StoppedVHosts(t.Context(), fakeNode); !errors.Is(err, want) || got != nil {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		})
	}
	t.Run("the check and the listing differ", func(t *testing.T) {
		t.Parallel()
		f, m := newFakeBroker(t)
		f.failWith, f.afterwards = http.StatusServiceUnavailable, 1
		if got, err := m.StoppedVHosts(t.Context(), fakeNode); !errors.Is(err, ErrUnavailable) || got != nil {
			t.Errorf("%v, %v, want ErrUnavailable", got, err)
		}
	})
}

// TestStoppedVHostsOfAnOldBroker: one that does not know the check is asked for the listing.
func TestStoppedVHostsOfAnOldBroker(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]int{"running": 0, "stopped": 1} {
		f, m := newFakeBroker(t)
		f.vhosts = map[string]map[string]string{"/": {fakeNode: state}}
		f.failWith, f.afterwards = http.StatusNotFound, 1
		if got, err := m.StoppedVHosts(t.Context(), fakeNode); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", state, got, err)
		}
	}
}

func TestStartVHost(t *testing.T) {
	t.Parallel()
	f, m := newFakeBroker(t)
	f.vhosts = map[string]map[string]string{"/": {fakeNode: "stopped"}, "a b": {fakeNode: "stopped"}, "broken": {fakeNode: "stopped"}}
	f.unstartable = map[string]bool{"broken": true}
	for _, name := range []string{"/", "a b", "/"} {
		if err := m.StartVHost(t.Context(), name, fakeNode); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	err := m.StartVHost(t.Context(), "broken", fakeNode)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "{error,eacces}") {
		t.Errorf("one that cannot be started: %v, want ErrRefused with the broker's words", err)
	}
	if got, err := m.StoppedVHosts(t.Context(), fakeNode); err != nil || len(got) != 1 || got[0] != "broken" {
		t.Errorf("stopped afterwards: %v, %v", got, err)
	}
}
