package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSession is a Connection that ends when its test says so.
type fakeSession struct {
	done   chan error
	err    error
	closed bool
}

func (s *fakeSession) Done() <-chan error { return s.done }
func (s *fakeSession) Err() error         { return s.err }
func (s *fakeSession) Close() error       { s.closed = true; return nil }

func (s *fakeSession) end(err error) {
	s.err = err
	close(s.done)
}

func TestKeepDialsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var log bytes.Buffer
		var sessions []*fakeSession
		var dialled []time.Duration
		began := time.Now()
		broken := errors.New("connection refused")
		dial := func(context.Context) (*fakeSession, error) {
			dialled = append(dialled, time.Since(began))
			if n := len(dialled); n > 1 && n < 12 {
				return nil, broken
			}
			s := &fakeSession{done: make(chan error)}
			sessions = append(sessions, s)
			return s, nil
		}
		use := func(ctx context.Context, s *fakeSession) error {
			if len(sessions) == 1 {
				time.Sleep(2 * time.Minute)
				s.end(errors.New("connection reset"))
				<-ctx.Done()
				return ctx.Err()
			}
			cancel()
			return nil
		}
		Keep(ctx, slog.New(slog.NewTextHandler(&log, nil)), Patience{}, dial, use)

		if len(sessions) != 2 || !sessions[0].closed || !sessions[1].closed {
			t.Fatalf("sessions: %+v, want two, both closed", sessions)
		}
		for i := 2; i < len(dialled); i++ {
			if pause := dialled[i] - dialled[i-1]; pause > 30*time.Second || pause < 250*time.Millisecond {
				t.Errorf("pause before attempt %d: %s, want between 250 ms and 30 s", i+1, pause)
			}
		}
		if last := dialled[11] - dialled[10]; last < 15*time.Second {
			t.Errorf("after ten failures the pause is %s, want at least 15 s", last)
		}
		for text, want := range map[string]int{"connection reset": 1, "connection refused": 1, "again": 1} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("the log says %q %d times, want %d:\n%s", text, got, want, log.String())
			}
		}
	})
}

func TestKeepTellsFlappingOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var log bytes.Buffer
		attempts := 0
		Keep(ctx, slog.New(slog.NewTextHandler(&log, nil)), Patience{},
			func(context.Context) (*fakeSession, error) { return &fakeSession{done: make(chan error)}, nil },
			func(context.Context, *fakeSession) error {
				if attempts++; attempts == 20 {
					cancel()
				}
				return ErrRefused
			})
		if got := strings.Count(log.String(), "\n"); got != 2 {
			t.Errorf("twenty equal failures make %d lines, want 2 (lost, there again):\n%s", got, log.String())
		}
	})
}

func TestKeepStopsWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		Keep(ctx, slog.New(slog.DiscardHandler), Patience{First: time.Hour, Longest: time.Hour},
			func(context.Context) (*fakeSession, error) { return nil, ErrUnreachable },
			func(context.Context, *fakeSession) error { return nil })
		if took := 5 * time.Minute; ctx.Err() == nil {
			t.Errorf("Keep returned before its context ended, after less than %s", took)
		}
	})
}
