package host

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWaitReady(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	write(t, d.LogPath("toy"), "2026-11-22 cannot open the frobnicator\n")
	calls := 0
	err := d.WaitReady(t.Context(), "the toy", "toy", time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}

	refused := errors.New("connection refused")
	err = d.WaitReady(t.Context(), "the toy", "toy", 200*time.Millisecond, func(context.Context) error { return refused })
	if !errors.Is(err, ErrNotReady) || !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	for _, says := range []string{"the toy is not ready after", "connection refused", "cannot open the frobnicator"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("error %q does not say %q", err, says)
		}
	}

	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	err = d.WaitReady(ctx, "the toy", "toy", time.Minute, func(context.Context) error {
		cancel(stop)
		return refused
	})
	if !errors.Is(err, stop) || !errors.Is(err, refused) || errors.Is(err, ErrNotReady) {
		t.Errorf("error %v", err)
	}
}
