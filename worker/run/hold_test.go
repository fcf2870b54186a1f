package run

import (
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestLongestHold(t *testing.T) {
	t.Parallel()
	// 30 s and 60 s after testbeds that failed; 2, 4 … 256 and 300 s after runs that could not begin.
	const pauses = 90*time.Second + 810*time.Second
	for name, test := range map[string]struct{ timeout, patience, want time.Duration }{
		"defaults":                  {config.DefaultTimeout, config.DefaultSpoolPatience, 36*time.Hour + pauses},
		"a store that is always on": {time.Minute, 0, 3*time.Minute + pauses},
		"a short run, long outage":  {time.Minute, 72 * time.Hour, 72*time.Hour + 3*time.Minute + pauses},
	} {
		if got := LongestHold(test.timeout, test.patience); got != test.want {
			t.Errorf("%s: a request is held for at most %s, want %s", name, got, test.want)
		}
	}
}

func TestCheckDeliveryTimeout(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Hour
	longest := LongestHold(8*time.Hour, patience)
	for name, test := range map[string]struct {
		delivery, timeout time.Duration
		says              []string // words of the error; none for no error
	}{
		"unknown":          {0, 8 * time.Hour, nil},
		"just long enough": {longest, 8 * time.Hour, nil},
		"a little short": {longest - time.Second, 8 * time.Hour,
			[]string{"26h14m59s", "3 attempts of 8h", "2h in the spool", "26h15m", "at most 7h59m"}},
		"the runs, but not the spool": {24*time.Hour + 15*time.Minute, 8 * time.Hour, []string{"26h15m", "at most 7h20m"}},
		"one run, not more":           {10 * time.Hour, 8 * time.Hour, []string{"after 10h", "26h15m", "at most 2h35m"}},
		"RabbitMQ's own":              {30 * time.Minute, 8 * time.Hour, []string{"after 30m", "26h15m", "spool_patience", "less than 5m"}},
		"shorter than all":            {time.Minute, time.Hour, []string{"after 1m", "to at least 5h15m"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckDeliveryTimeout(test.delivery, test.timeout, patience)
			if (err == nil) != (test.says == nil) {
				t.Fatalf("error = %v", err)
			}
			for _, word := range test.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
		})
	}
}

// TestCheckDeliveryTimeoutHelps: what the message proposes is accepted.
func TestCheckDeliveryTimeoutHelps(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{0, 10 * time.Minute} {
		for _, delivery := range []time.Duration{30 * time.Minute, 10 * time.Hour, 24*time.Hour + time.Second} {
			if err := CheckDeliveryTimeout(delivery, longestTimeout(delivery, patience), patience); err != nil {
				t.Errorf("the longest timeout for %s is refused: %v", delivery, err)
			}
		}
	}
}
