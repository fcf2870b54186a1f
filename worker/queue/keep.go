package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Connection is what Keep needs to know of a session.
type Connection interface {
	Done() <-chan error
	Err() error
	Close() error
}

// Patience is how long Keep waits between attempts: First after the first failure, twice as long after each further one,
// Longest at most, each shortened by up to half at random, so that a hundred workers do not come back in one instant.
// The zero value means 500 ms and 30 s.
type Patience struct{ First, Longest time.Duration }

func (p Patience) pause(failures int) time.Duration {
	first, longest := p.First, p.Longest
	if first <= 0 {
		first = 500 * time.Millisecond
	}
	if longest <= 0 {
		longest = 30 * time.Second
	}
	pause := longest
	if shift := failures - 1; shift < 30 && first<<shift < longest {
		pause = first << shift
	}
	return pause - rand.N(pause/2+1)
}

// Keep holds a session to the broker for as long as the context lives: it dials, hands the session to use, and when the
// session has ended and use has returned, it dials again, with pauses that grow. A session that use gives up with an
// error counts as a failure, too. The log gets a line when the broker is lost or when the reason changes, and one when
// it is back, not one per attempt.
//
// The context that use gets ends with the session. Keep closes the session after use has returned. It returns when the
// context has ended; nothing that went wrong in between is an error, since there is nobody who could do better.
func Keep[S Connection](ctx context.Context, log *slog.Logger, patience Patience,
	dial func(context.Context) (S, error), use func(context.Context, S) error,
) {
	failures, told, healed := 0, "", ""
	for ctx.Err() == nil {
		session, err := dial(ctx)
		if err == nil {
			if told != healed {
				healed = told
				log.Info("there is a session with the broker again", "attempts", failures)
			}
			began := time.Now()
			err = hold(ctx, session, use)
			if time.Since(began) >= time.Minute {
				failures, told, healed = 0, "", "" // it worked; what comes is a new story
			}
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		if err == nil {
			err = errors.New("the session was given back without a reason")
		}
		if told != err.Error() {
			told = err.Error()
			log.Warn("no session with the broker; trying until there is one", "error", err)
		}
		timer := time.NewTimer(patience.pause(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// hold lets use work with one session, and returns why that ended.
func hold[S Connection](ctx context.Context, session S, use func(context.Context, S) error) error {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-session.Done():
			cancel(fmt.Errorf("the session has ended: %w", session.Err()))
		case <-within.Done():
		}
	}()
	err := use(within, session)
	if ended := session.Err(); ended != nil {
		err = ended // what use saw is its consequence
	}
	cancel(nil)
	<-watched
	if closing := session.Close(); err == nil {
		err = closing
	}
	return err
}
