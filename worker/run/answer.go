package run

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// answer makes sure that this life answers for the request: it has the lease, in the store, where all can see it. Otherwise
// the error is errNotOurs.
func (l *life) answer(ctx context.Context) error {
	standing, err := l.lease.Standing(ctx)
	if err != nil {
		return err
	}
	if standing == lease.Unwritten {
		if !l.entry.stale() {
			standing, err = l.lease.Write(ctx)
		} else {
			standing, err = l.reclaim(ctx)
		}
		if err != nil {
			return err
		}
	}
	if standing != lease.Held {
		return errNotOurs
	}
	return nil
}

// reclaim is for a result whose lease never reached the store and whose message has gone back: whoever gets that may have
// begun the request anew. Then he answers for it.
func (l *life) reclaim(ctx context.Context) (lease.Standing, error) {
	others, err := l.watch.Others(ctx)
	if err != nil {
		return lease.Unwritten, err
	}
	for _, other := range others {
		if !other.Waiting {
			return lease.Lost, nil
		}
	}
	claimed, err := l.lease.Claim(ctx, l.watch)
	if err != nil {
		return lease.Unwritten, err
	}
	if !claimed {
		return lease.Lost, nil
	}
	return lease.Held, nil
}

// ours tells the publication whether this life still answers for the request. It asks the store only if that is not certain.
func (l *life) ours(ctx context.Context) error {
	standing, err := l.lease.Standing(ctx)
	if err == nil && standing != lease.Held {
		err = errNotOurs
	}
	return err
}

// crowded reports whether another worker has an equal request in work. In this process, results of equal requests cannot get
// the same run id.
func (l *life) crowded(ctx context.Context) (bool, error) {
	others, err := l.watch.Others(ctx)
	if err != nil {
		return false, err
	}
	for _, other := range others {
		if !other.Dead && other.Worker != l.state.worker {
			return true, nil
		}
	}
	return false, nil
}

// inOrder lets others know which result counts.
func (l *life) inOrder(id result.RunID) { l.lease.Publish(string(id)) }
