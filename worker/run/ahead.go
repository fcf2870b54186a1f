package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// maxAhead is how far a run id in the store may lie in our future. Up to this, somebody's clock is wrong and the next results
// go above it. Beyond it, each result that went above would carry the mistake on, and the gatekeeper, having read one of
// them, would see nothing else for days.
const maxAhead = 6 * time.Hour

// errAhead: a run id of the package lies too far in the future.
var errAhead = errors.New("a run id in the store is far ahead of this machine's clock")

func checkAhead(p parcel, id result.RunID, when time.Time) error {
	ahead := time.Until(when)
	if ahead <= maxAhead {
		return nil
	}
	folder := result.PackagePrefix(p.queue.Release, p.queue.Architecture, p.pkg) + string(id)
	return fmt.Errorf("%w: %s in container %s by %s, at most %s is accepted: no result of %s is published above it; if this "+
		"machine's clock is wrong, correct it, otherwise remove the objects below that name from the store", errAhead, folder,
		p.container, ahead.Round(time.Minute), maxAhead, p.pkg)
}

// note keeps why a life's result cannot be published, if that is for a run id that is far ahead.
func (o *order) note(life string, err error) {
	if !errors.Is(err, errAhead) {
		o.clear(life)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ahead[life] = err
}

func (o *order) clear(life string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ahead, life)
}

// Ahead tells, for each package with such a one, which run id far ahead of the clock keeps results from being published.
func (w *Worker) Ahead() []string {
	w.order.mu.Lock()
	defer w.order.mu.Unlock()
	reasons := map[string]struct{}{}
	for _, err := range w.order.ahead {
		reasons[err.Error()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(reasons))
}

func (w *Worker) checkAhead(context.Context) error {
	if reasons := w.Ahead(); len(reasons) > 0 {
		return errors.New(strings.Join(reasons, "; "))
	}
	return nil
}
