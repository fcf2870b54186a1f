package run

import (
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// LongestHold is the longest life of a delivery: how long a worker may hold a request, when one run takes the timeout at most
// and a finished result waits for the store no longer than the spool's patience. It is every attempt as long as it may be,
// every pause that is made after a failure of ours, and then the patience. The broker's delivery timeout must not be
// shorter, or it takes the request away while the tests run or their result waits. A run that cannot even begin takes no time
// but the pause after it.
//
// It is the one place that knows; whoever makes a request wait longer adds it here.
func LongestHold(timeout, patience time.Duration) time.Duration {
	return maxAttempts*timeout + allPauses() + patience
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
func longestTimeout(delivery, patience time.Duration) time.Duration {
	return ((delivery - patience - allPauses()) / maxAttempts).Truncate(time.Minute)
}

// retryPause follows the nth attempt whose testbed failed.
func retryPause(first time.Duration, n int) time.Duration { return first << (n - 1) }

// brokenPause follows the nth run that could not even begin.
func brokenPause(n int) time.Duration { return min(firstPause<<n, longestPause) }

// CheckDeliveryTimeout refuses a delivery timeout of the broker that is too short for tests that may run for the timeout, and
// for results that may wait in the spool for the patience. Zero is one that nobody knows, which is accepted.
func CheckDeliveryTimeout(delivery, timeout, patience time.Duration) error {
	longest := LongestHold(timeout, patience)
	if delivery == 0 || delivery >= longest {
		return nil
	}
	shown := config.DurationText
	wayOut := fmt.Sprintf("raise the broker's delivery timeout to at least %s", shown(longest))
	if most := longestTimeout(delivery, patience); most > 0 {
		wayOut += fmt.Sprintf(", or lower the worker's timeout to at most %s", shown(most))
	} else if most := longestTimeout(delivery, 0); most > 0 {
		wayOut += fmt.Sprintf(", or lower the worker's spool_patience, and its timeout to less than %s", shown(most))
	}
	return fmt.Errorf("a request may be held for %s (%d attempts of %s, the pauses between them, and %s in the spool while the "+
		"store is away), and after %s the broker takes it away and hands it to another worker: %s", shown(longest), maxAttempts,
		shown(timeout), shown(patience), shown(delivery), wayOut)
}
