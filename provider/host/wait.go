package host

import (
	"context"
	"fmt"
	"time"
)

// How often WaitReady looks, how long one look may take, and how many times it sees the process end before it stops
// believing that waiting helps.
const (
	checkPause = 100 * time.Millisecond
	checkLimit = 10 * time.Second
	maxEnds    = 5
)

type patienceKey struct{}

// WithPatience has waits last so many times as long as they do by themselves: for a caller who was told that a machine is slow. Less than 1
// changes nothing.
func WithPatience(ctx context.Context, times float64) context.Context {
	return context.WithValue(ctx, patienceKey{}, max(times, 1))
}

// patience is how long to wait. It is less than the whole rest of the caller's time, so that some is left to say what was awaited in vain,
// and to undo it.
func patience(ctx context.Context, limit time.Duration) time.Duration {
	if times, ok := ctx.Value(patienceKey{}).(float64); ok {
		limit = time.Duration(float64(limit) * times)
	}
	if deadline, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(deadline)*9/10)
	}
	return limit
}

// WaitReady calls check until it returns nil, at most for limit, or for as long as [WithPatience] makes of it. The error is ErrNotReady
// and says what was awaited, what the last check saw, and the end of the process's log. A process that dies again and again ends the wait
// early.
func (d *Directory) WaitReady(ctx context.Context, what, process string, limit time.Duration,
	check func(context.Context) error) error {
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, patience(ctx, limit))
	defer cancel()
	seenEnds := ends{begin: begin}
	for {
		seen := d.lookOnce(limited, check)
		if seen == nil {
			return nil
		}
		if life, ok := d.life(process); ok {
			seenEnds.see(life)
		}
		cause, wayOut := "", "The reason should be in its log; apply again when it is removed."
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("wait for %s: %w (last seen: %w)", what, context.Cause(ctx), seen)
		case seenEnds.count >= maxEnds:
			cause = fmt.Sprintf("is not ready: its process %s ends again and again", process)
		case limited.Err() != nil || sleep(limited, checkPause) != nil:
			cause = fmt.Sprintf("is not ready after %s", time.Since(begin).Round(time.Second))
			wayOut += " Where a machine is only slow, longer `timeouts` make this wait longer, too."
		}
		if cause != "" {
			return &Problem{Kind: ErrNotReady, Thing: what, Cause: cause, Err: seen,
				WayOut: wayOut + d.logTail("log/"+process+"/current")}
		}
	}
}

func (d *Directory) lookOnce(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	return check(ctx)
}

func (d *Directory) life(process string) (Status, bool) {
	root, err := d.open()
	if err != nil {
		return Status{}, false
	}
	defer root.Close()
	return d.supervision().life(root, process)
}

// ends counts how many times a process has ended since the wait began, from what was seen of it now and then: each is counted once
// at most, and some may have been missed.
type ends struct {
	begin time.Time
	last  *Status
	count int
}

func (e *ends) see(now Status) {
	switch {
	case e.last == nil:
		if !now.Up && now.Since.After(e.begin) {
			e.count++
		}
	case now.Since.Equal(e.last.Since):
	case e.last.Up || !now.Up:
		e.count++
	}
	e.last = &now
}
