package host

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(up bool, second int) Status {
		return Status{Up: up, Since: begin.Add(time.Duration(second) * time.Second)}
	}
	for name, test := range map[string]struct {
		seen []Status
		want int
	}{
		"runs and runs":                {[]Status{at(true, -1), at(true, -1)}, 0},
		"started after the wait began": {[]Status{at(true, 1), at(true, 1)}, 0},
		"down since before":            {[]Status{at(false, -1), at(true, 1)}, 0},
		"down since":                   {[]Status{at(false, 1), at(false, 1), at(true, 2)}, 1},
		"lives short, seen down":       {[]Status{at(false, 1), at(true, 2), at(false, 2), at(false, 2), at(true, 3)}, 1},
		"lives short, never seen up":   {[]Status{at(false, 1), at(false, 2), at(false, 3)}, 3},
		"lives long, never seen down":  {[]Status{at(true, -1), at(true, 3), at(true, 3), at(true, 6)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ends{begin: begin}
			for _, life := range test.seen {
				e.see(life)
			}
			if e.count != test.want {
				t.Errorf("%d ends, want %d", e.count, test.want)
			}
		})
	}
}

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

func TestPatience(t *testing.T) {
	t.Parallel()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, test := range []struct {
		name        string
		ctx         context.Context
		least, most time.Duration
	}{
		{"by itself", t.Context(), time.Minute, time.Minute},
		{"with more", WithPatience(t.Context(), 4), 4 * time.Minute, 4 * time.Minute},
		{"with less", WithPatience(t.Context(), 0.5), time.Minute, time.Minute},
		{"not the whole rest", WithPatience(short, 4), 5 * time.Second, 9 * time.Second},
	} {
		if got := patience(test.ctx, time.Minute); got < test.least || got > test.most {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}
