package run

import (
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// LongestHold is how long a worker may hold a request until its result is ready to be stored, when one run takes the
// timeout at most: every attempt as long as it may be, and every pause that is made after a failure of ours. The broker's
// delivery timeout must not be shorter, or it takes the request away while the tests run. A run that cannot even begin
// takes no time but the pause after it.
//
// It is the one place that knows; whoever makes a request wait longer adds it here.
func LongestHold(timeout time.Duration) time.Duration {
	return maxAttempts*timeout + allPauses()
}

func allPauses() time.Duration {
	var pauses time.Duration
	for n := 1; n < maxAttempts; n++ {
		pauses += retryPause(defaultRetryPause, n)
	}
	for n := 1; n < maxBroken; n++ {
		pauses += brokenPause(n)
	}
	return pauses
}

// longestTimeout is the opposite of LongestHold: the longest timeout for which a delivery timeout is enough, in minutes.
func longestTimeout(delivery time.Duration) time.Duration {
	return ((delivery - allPauses()) / maxAttempts).Truncate(time.Minute)
}

// retryPause follows the nth attempt whose testbed failed.
func retryPause(first time.Duration, n int) time.Duration { return first << (n - 1) }

// brokenPause follows the nth run that could not even begin.
func brokenPause(n int) time.Duration { return min(firstPause<<n, longestPause) }

// CheckDeliveryTimeout refuses a delivery timeout of the broker that is too short for tests that may run for the timeout.
// Zero is one that nobody knows, which is accepted.
func CheckDeliveryTimeout(delivery, timeout time.Duration) error {
	longest := LongestHold(timeout)
	if delivery == 0 || delivery >= longest {
		return nil
	}
	shown := config.DurationText
	wayOut := fmt.Sprintf("raise the broker's delivery timeout to at least %s", shown(longest))
	if most := longestTimeout(delivery); most > 0 {
		wayOut += fmt.Sprintf(", or lower the worker's timeout to at most %s", shown(most))
	}
	return fmt.Errorf("a request may be held for %s (%d attempts of %s, and the pauses between them), and after %s the broker "+
		"takes it away and hands it to another worker: %s", shown(longest), maxAttempts, shown(timeout), shown(delivery), wayOut)
}
