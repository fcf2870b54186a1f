package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pauses of persist: short enough to continue at once after a hiccup, long enough not to hammer a store that is down.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// persist calls f until it succeeds and reports true, or until the context ends and reports false. It logs the first
// failure, each failure for another reason, and the success after them. An error that final accepts ends it as well, with
// false; the caller has kept the error.
func (l *life) persist(ctx context.Context, what string, final func(error) bool, f func(context.Context) error) bool {
	told := ""
	for tries := 1; ; tries++ {
		err := f(ctx)
		if err == nil {
			if told != "" {
				l.log.Info(what+" succeeded", "tries", tries)
			}
			return true
		}
		if ctx.Err() != nil || final(err) {
			return false
		}
		l.worker.settings.Observer.Failed(l.current())
		if told != err.Error() {
			told = err.Error()
			l.log.Warn(what+" failed; trying again until it succeeds", "error", err)
		}
		pause := longestPause
		if shift := tries - 1; shift < 10 {
			pause = min(firstPause<<shift, longestPause)
		}
		timer := time.NewTimer(pause - rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// never is for steps that no error ends.
func never(error) bool { return false }
