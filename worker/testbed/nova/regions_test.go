package nova

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// twoRegions have been read, and have this room.
func twoRegions(now *time.Time, room map[string]int) (*regions, config.NovaTestbed) {
	r := newRegions()
	r.now = func() time.Time { return *now }
	of := config.NovaTestbed{RCFiles: []string{"lcy01", "lgw01"}, Flavor: "small"}
	for _, source := range of.RCFiles {
		one := r.get(source)
		one.breaker.Passed()
		one.read, one.tried, one.ordinary = *now, *now, "small"
		one.last = reading{name: source, left: openstack.Left{Instances: room[source], Cores: openstack.Unlimited, RAM: openstack.Unlimited},
			flavors: map[string]flavors.Flavor{"small": {Name: "small", VCPUs: 1, RAM: 1024}}}
	}
	return r, of
}

func TestChoose(t *testing.T) {
	t.Parallel()
	regional, other := &failure{Region: true, Text: "no valid host"}, &failure{Text: "no such image"}
	for name, test := range map[string]struct {
		room   map[string]int
		before func(r *regions)
		want   []string // of testbeds of one run, one after the other; none for no room
	}{
		"most room":          {map[string]int{"lcy01": 2, "lgw01": 5}, nil, []string{"lgw01"}},
		"spread":             {map[string]int{"lcy01": 3, "lgw01": 3}, nil, []string{"lcy01", "lgw01", "lcy01", "lgw01"}},
		"used up":            {map[string]int{"lcy01": 1, "lgw01": 0}, nil, []string{"lcy01", ""}},
		"none":               {nil, nil, []string{""}},
		"failed this run":    {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) { r.ended(record{Source: "lcy01", Failure: other}, testbed.Testbed{Run: "run"}) }, []string{"lgw01", "lcy01"}},
		"failed another one": {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) { r.ended(record{Source: "lcy01", Failure: other}, testbed.Testbed{Run: "x"}) }, []string{"lcy01"}},
		"failing":            {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) { r.ended(record{Source: "lcy01", Failure: regional}, testbed.Testbed{Run: "x"}) }, []string{"lgw01", "lcy01"}},
		"failed everywhere": {map[string]int{"lcy01": 1, "lgw01": 9}, func(r *regions) {
			r.ended(record{Source: "lcy01", Failure: other}, testbed.Testbed{Run: "run"})
			r.ended(record{Source: "lgw01", Failure: other}, testbed.Testbed{Run: "run"})
		}, []string{"lgw01"}},
		"out of service": {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) {
			for range 3 {
				r.ended(record{Source: "lcy01", Failure: regional}, testbed.Testbed{})
			}
		}, []string{"lgw01", ""}},
		"failed, and well again": {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) {
			r.ended(record{Source: "lcy01", Failure: regional}, testbed.Testbed{Run: "x"})
			r.ended(record{Source: "lcy01", Opened: true, Closed: true}, testbed.Testbed{Run: "y"})
		}, []string{"lcy01"}},
		"ended early": {map[string]int{"lcy01": 9, "lgw01": 1}, func(r *regions) { r.ended(record{Source: "lcy01"}, testbed.Testbed{Run: "run"}) }, []string{"lcy01"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			r, of := twoRegions(&now, test.room)
			if test.before != nil {
				test.before(r)
			}
			for _, want := range test.want {
				ready := r.room(of)
				if (ready == nil) != (want != "") || ready != nil && !errors.Is(ready, testbed.ErrNoRoom) {
					t.Errorf("room: %v, want a place %q", ready, want)
				}
				got, _, err := r.choose(of, "run")
				if got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, testbed.ErrNoRoom) {
					t.Fatalf("%q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

// TestPause: a region that keeps failing gets no testbeds, is tried after a pause, and then after longer ones.
func TestPause(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r, of := twoRegions(&now, map[string]int{"lcy01": 9, "lgw01": 9})
	for range 3 {
		r.ended(record{Source: "lcy01", Failure: &failure{Region: true, Text: "no valid host"}}, testbed.Testbed{})
	}
	places := r.places()
	if len(places) != 2 || places[0].State != testbed.BreakerOpen || !strings.Contains(places[0].Reason.Error(), "no valid host") ||
		places[1].Reason != nil || places[1].Room != 9 {
		t.Fatalf("%+v", places)
	}
	looked := errors.New("503")
	r.look = func(context.Context, string, []wish) (reading, error) { return reading{}, looked }
	w := tender{regions: r, with: testbed.Tending{Log: r.log}}
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		now = now.Add(pause - time.Second)
		if r.get("lcy01").breaker.Due() {
			t.Fatalf("tried before %s", pause)
		}
		now = now.Add(time.Second)
		if !r.get("lcy01").breaker.Due() {
			t.Fatalf("not tried after %s", pause)
		}
		if got, _, err := r.choose(of, ""); got != "lgw01" {
			t.Fatalf("while it is tried: %s, %v", got, err)
		}
		w.try(t.Context(), "lcy01")
	}
	if places := r.places(); places[0].State != testbed.BreakerOpen || !strings.Contains(places[0].Reason.Error(), "503") {
		t.Errorf("%+v", places[0])
	}
}

// TestRead: the first reading puts a region into service, and several that fail take it out.
func TestRead(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r := newRegions()
	r.now = func() time.Time { return now }
	of := config.NovaTestbed{RCFiles: []string{"lcy01"}, Flavor: "small", Image: "noble"}
	if err := r.room(of); !errors.Is(err, testbed.ErrNoRoom) || !errors.Is(err, errUnread) {
		t.Errorf("before: %v", err)
	}
	if got, chosen, err := r.choose(of, ""); got != "lcy01" || chosen.complete() || err != nil {
		t.Errorf("a program that reads nothing: %s, %v", got, err)
	}
	var answer error
	r.look = func(_ context.Context, _ string, wanted []wish) (reading, error) {
		if len(wanted) != 1 || wanted[0] != wishOf(of) {
			t.Errorf("asked for %v", wanted)
		}
		return reading{name: "lcy01", left: openstack.Left{Instances: 2, Cores: 8, RAM: 8192},
			flavors: map[string]flavors.Flavor{"small": {ID: "7", VCPUs: 1, RAM: 1024}},
			images:  map[string]string{"noble": "8"}, networks: map[string]string{"": "9"}}, answer
	}
	w := tender{regions: r, with: testbed.Tending{Log: r.log}}
	w.read(t.Context(), "lcy01")
	if err := r.room(of); err != nil {
		t.Errorf("after: %v", err)
	}
	if _, chosen, err := r.choose(of, ""); chosen != (Choice{Image: "8", Flavor: "7", Network: "9"}) || err != nil {
		t.Errorf("chosen: %+v, %v", chosen, err)
	}
	big := config.NovaTestbed{RCFiles: []string{"lcy01"}, Flavor: "big"}
	r.get("lcy01").last.missing = map[string]error{"big": openstack.ErrNotFound}
	if err := r.room(big); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("a flavor that is not there: %v", err)
	}
	delete(r.get("lcy01").wanted, wishOf(big))
	answer = errors.New("503")
	for range 3 {
		if err := r.room(of); err != nil {
			t.Errorf("too early: %v", err)
		}
		w.read(t.Context(), "lcy01")
	}
	if err := r.room(of); !errors.Is(err, testbed.ErrOpen) {
		t.Errorf("after three: %v", err)
	}
}
