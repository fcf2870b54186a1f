package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []int
	for n := range 100 {
		hundred = append(hundred, 99-n) // not sorted
	}
	for name, test := range map[string]struct {
		all  []int
		p    int
		want time.Duration
	}{
		"median":       {hundred, 50, 50},
		"nearly all":   {hundred, 99, 99},
		"one of three": {[]int{7, 9, 8}, 50, 8},
		"the last":     {[]int{7}, 99, 7},
	} {
		if got := percentile(test.all, test.p, func(n int) time.Duration { return time.Duration(n) }); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}
