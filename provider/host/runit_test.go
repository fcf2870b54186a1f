package host

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStatus(t *testing.T) {
	t.Parallel()
	// Bytes that runit 2.1.2 wrote: a sleep with pid 24195, started at 2026-11-22 05:08:28 UTC.
	up := []byte{0x40, 0, 0, 0, 0x6a, 0xc1, 0x5d, 0x86, 0x1d, 0xcd, 0x65, 0, 0x83, 0x5e, 0, 0, 0, 'u', 0, 1}
	down := append([]byte(nil), up...)
	copy(down[12:], []byte{0, 0, 0, 0, 0, 'd', 0, 0})
	for name, test := range map[string]struct {
		data []byte
		want runsvStatus
		good bool
	}{
		"up":        {up, runsvStatus{time.Unix(0x6ac15d86-10, 500000000), 24195, true}, true},
		"down":      {down, runsvStatus{time.Unix(0x6ac15d86-10, 500000000), 0, false}, true},
		"too short": {up[:18], runsvStatus{}, false},
		"empty":     {nil, runsvStatus{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStatus(test.data)
			if difference := cmp.Diff(test.want, got, cmp.AllowUnexported(runsvStatus{})); difference != "" || (err == nil) != test.good {
				t.Errorf("%v\n%s", err, difference)
			}
		})
	}
}
