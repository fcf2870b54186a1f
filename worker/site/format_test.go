package site

import (
	"testing"
	"time"
)

func TestAgo(t *testing.T) {
	t.Parallel()
	for before, want := range map[time.Duration]string{
		-time.Minute: "just now", 0: "just now", 44 * time.Second: "just now", 50 * time.Second: "1 minute ago",
		89 * time.Minute: "89 minutes ago", 90 * time.Minute: "2 hours ago", 35 * time.Hour: "35 hours ago",
		36 * time.Hour: "2 days ago", 59 * 24 * time.Hour: "59 days ago", 70 * 24 * time.Hour: "2 months ago",
		800 * 24 * time.Hour: "2 years ago",
	} {
		if got := ago(now, now.Add(-before)); got != want {
			t.Errorf("%s before: %q, want %q", before, got, want)
		}
	}
	if got := ago(now, time.Time{}); got != "never" {
		t.Error(got)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		span(9 * time.Second): "9 s", span(65 * time.Second): "1 min 05 s", span(3*time.Hour + 5*time.Minute): "3 h 05 min",
		span(999 * time.Millisecond): "1 s",
		count(0):                     "0", count(999): "999", count(1000): "1\u202f000", count(1234567): "1\u202f234\u202f567",
		size(-1): "", size(10): "10 B", size(2048): "2.0 KiB", size(5 << 20): "5.0 MiB",
		stamp(now): "2026-11-22 09:30", exact(now): "2026-11-22 09:30:00 UTC",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
