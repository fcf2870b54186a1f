package run

import (
	"context"
	"time"
)

// waitInterval is how often a request that somebody else may have in work is looked at.
const waitInterval = 5 * time.Second

// wait is for a request that the broker had given to somebody before. Either its result is in the store; then it is
// announced once more and acknowledged. Or a life that has it in work still lives, here or elsewhere, and is waited for. Or
// all of that is over, and the request is run. A crash here leaves the request with the broker, and a lease that nobody
// waits for.
func (l *life) wait(ctx context.Context) State {
	switch l.decide(ctx) {
	case stored:
		return Announce
	case vacant:
		return l.beginning()
	}
	return Handback // whoever has the request now does the same
}

// decide returns when it is known whether the request is to be run. It returns busy when the broker has taken the request away,
// or the context has ended.
func (l *life) decide(ctx context.Context) verdict {
	for {
		found := busy
		asked := l.persist(ctx, "looking for an earlier result", never, func(ctx context.Context) (err error) {
			if found = busy; !l.entry.stale() {
				found, err = l.lookup(ctx)
			}
			return err
		})
		switch {
		case !asked, found == stored:
			return found
		case l.entry.stale(): // whoever has it now may have settled it and left no lease: that nobody has it does not count
			return busy
		case found == vacant:
			return vacant
		}
		if !l.waited {
			l.waited = true
			l.log.Info("the request may still be in work elsewhere: waiting for that to end")
		}
		if !sleep(ctx, waitInterval) {
			return busy
		}
	}
}
