package run

import (
	"context"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// glimpse is a look at the run ids of a package that is taken while the testbed is removed and the result is packed, so that
// nobody has to wait for it later.
type glimpse struct {
	began    time.Time
	stop     func()
	ended    chan struct{}
	greatest result.RunID // of that second and later; empty for none
	err      error
}

// glimpseAge is how old a glimpse may be by which a run id is chosen. It is less than solePause: a worker with an equal request
// that took the same run id since then has seen our lease, waits that long, and so is still there when we look for others.
const glimpseAge = solePause / 2

// glimpse begins to look. The end of the state that the life is in does not end it, the end of the life does.
func (l *life) glimpse(ctx context.Context) {
	l.stopLooking()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := parcel{
		queue: l.delivery.Queue, pkg: l.request.Package, public: !l.request.Private(),
		container: result.Container(l.delivery.Queue.Release, l.request.PPAs, l.request.Private()),
	}
	g := &glimpse{began: time.Now(), stop: cancel, ended: make(chan struct{})}
	l.looking, l.publication.glimpse = g, g
	go func() {
		defer close(g.ended)
		g.greatest, g.err = greatest(ctx, l.worker.store, p, second(g.began))
	}()
}

// stopLooking ends the glimpse, if there is one, and waits for its end.
func (l *life) stopLooking() {
	if l.looking != nil {
		l.looking.stop()
		<-l.looking.ended
	}
}

// above returns the greatest run id of a second and later ones, if the glimpse can tell: it is young enough, and nothing was
// wrong.
func (g *glimpse) above(ctx context.Context, when time.Time) (id result.RunID, known bool) {
	if g == nil || time.Since(g.began) > glimpseAge {
		return "", false
	}
	select {
	case <-g.ended:
	case <-ctx.Done():
		return "", false
	}
	if g.err != nil || time.Since(g.began) > glimpseAge {
		return "", false
	}
	if string(g.greatest) <= second(when) {
		return "", true
	}
	return g.greatest, true
}
