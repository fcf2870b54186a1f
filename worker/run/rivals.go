package run

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// crowded reports whether another worker has an equal request in work. In this process, results of equal requests cannot get
// the same run id.
func (l *life) crowded(ctx context.Context) (bool, error) {
	leases, err := l.watch.all(ctx, l.entry.identity, l.id)
	if err != nil {
		return false, err
	}
	for _, other := range leases {
		if !other.over && other.Worker != l.state.worker {
			return true, nil
		}
	}
	return false, nil
}

// How long a worker waits for another one that has begun to store the same result, and how often it looks.
const (
	patienceLower  = time.Minute     // the other one's run id is lower: it has the right of way, unless it died
	patienceHigher = 5 * time.Second // ours is lower: the other one waits for us, unless it did not see us in time
	patienceSpread = 30 * time.Second
	rivalInterval  = time.Second
)

// overtaken decides between workers that ran the same request all the same: the lease of one looked dead to the other, or
// could not be read or written in time. It reports whether somebody else's result counts; the life then has that one.
// Otherwise our own may be stored, and rivals are the run ids whose owners wait for it.
//
// Each worker asks twice: before it uploads anything (mine is empty), and when its log is there, which shows its run id
// to the others. Of two that see each other, the one with the lower run id goes on, and the other one finds its result.
func (l *life) overtaken(ctx context.Context, mine result.RunID) (theirs bool, rivals []result.RunID, err error) {
	if !l.delivery.Redelivered && !l.entry.contested() {
		return false, nil, nil
	}
	// Two that hold each other's earlier run id for a rival's wait for one another, and would give up in the same moment.
	longest := patienceLower + rand.N(patienceSpread)
	for began := time.Now(); ; {
		found, err := l.lookup(ctx)
		if err != nil || found.theirs {
			return found.theirs, nil, err
		}
		if !found.busy {
			if len(found.rivals) == 0 {
				return false, nil, nil
			}
			patience := longest
			if mine != "" && mine < found.rivals[0] {
				patience = patienceHigher
			}
			if time.Since(began) >= patience {
				return false, found.rivals, nil
			}
		}
		if !sleep(ctx, rivalInterval) {
			return false, nil, context.Cause(ctx)
		}
	}
}
