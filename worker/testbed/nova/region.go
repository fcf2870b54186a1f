package nova

import (
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	// fresh is for how long a quota that was read is believed while somebody asks for room and there is little, lasting while there is
	// much, and idle while nobody asks.
	fresh   = 5 * time.Second
	lasting = 20 * time.Second
	idle    = time.Minute
	much    = 10 // testbeds
)

// region is what is known of one. The mutex of regions guards it.
type region struct {
	breaker  *testbed.Breaker
	failures int // testbeds in a row
	wanted   map[wish]bool
	ordinary string    // the flavor that was asked for last by whoever looked for room
	asked    time.Time // by somebody who wants to make a testbed
	read     time.Time // zero for never
	tried    time.Time
	last     reading
}

var errUnread = errors.New("its quota has not been read yet")

// want is told of somebody who looks for room.
func (o *region) want(what wish, now time.Time) {
	o.asked = now
	o.wanted[what] = true
}

// believed is for how long what was read counts.
func (o *region) believed(now time.Time) time.Duration {
	switch size, known := o.last.flavors[o.ordinary]; {
	case now.Sub(o.asked) >= idle:
		return idle
	case known && o.last.left.Fits(size) >= much:
		return lasting
	}
	return fresh
}

// usable is how many servers of a flavor the region has room for, at least one.
func (o *region) usable(flavor string) (room int, err error) {
	if o.last.flavors == nil && o.breaker.State() == testbed.BreakerProbing {
		return 0, errUnread
	}
	if err := o.breaker.Ready(); err != nil {
		return 0, err
	}
	if err := o.last.missing[flavor]; err != nil {
		return 0, err
	}
	size, known := o.last.flavors[flavor]
	if !known {
		return 0, errUnread
	}
	if room = o.last.left.Fits(size); room < 1 {
		left := o.last.left
		return 0, fmt.Errorf("the quota has no room for flavor %s: %d instances, %d cores, %d MiB are left", flavor,
			left.Instances, left.Cores, left.RAM)
	}
	return room, nil
}
