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
	for timeout, want := range map[time.Duration]time.Duration{
		config.DefaultTimeout: 24*time.Hour + pauses,
		time.Minute:           3*time.Minute + pauses,
	} {
		if got := LongestHold(timeout); got != want {
			t.Errorf("with a timeout of %s a request is held for at most %s, want %s", timeout, got, want)
		}
	}
}

func TestCheckDeliveryTimeout(t *testing.T) {
	t.Parallel()
	longest := LongestHold(8 * time.Hour)
	for name, test := range map[string]struct {
		delivery, timeout time.Duration
		says              []string // words of the error; none for no error
	}{
		"unknown":           {0, 8 * time.Hour, nil},
		"just long enough":  {longest, 8 * time.Hour, nil},
		"a little short":    {longest - time.Second, 8 * time.Hour, []string{"24h14m59s", "3 attempts of 8h", "24h15m", "at most 7h59m"}},
		"one run, not more": {10 * time.Hour, 8 * time.Hour, []string{"after 10h", "24h15m", "at most 3h15m"}},
		"RabbitMQ's own":    {30 * time.Minute, 8 * time.Hour, []string{"after 30m", "24h15m", "at most 5m"}},
		"shorter than all":  {time.Minute, time.Hour, []string{"after 1m", "to at least 3h15m"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckDeliveryTimeout(test.delivery, test.timeout)
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
	for _, delivery := range []time.Duration{30 * time.Minute, 10 * time.Hour, 24*time.Hour + time.Second} {
		if err := CheckDeliveryTimeout(delivery, longestTimeout(delivery)); err != nil {
			t.Errorf("the longest timeout for %s is refused: %v", delivery, err)
		}
	}
}
