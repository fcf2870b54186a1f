package site

import (
	"fmt"
	"strconv"
	"time"
)

// ago says how long a moment is past, in one unit.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	unit := func(n int, name string) string {
		if n == 1 {
			return "1 " + name + " ago"
		}
		return strconv.Itoa(n) + " " + name + "s ago"
	}
	switch {
	case t.IsZero():
		return "never"
	case d < 0 || d < 45*time.Second: // the clocks of workers and of this machine differ a little
		return "just now"
	case d < 90*time.Minute:
		return unit(int((d+time.Minute/2)/time.Minute), "minute")
	case d < 36*time.Hour:
		return unit(int((d+time.Hour/2)/time.Hour), "hour")
	case d < 60*24*time.Hour:
		return unit(int((d+12*time.Hour)/(24*time.Hour)), "day")
	case d < 2*365*24*time.Hour:
		return unit(int(d/(30*24*time.Hour)), "month")
	}
	return unit(int(d/(365*24*time.Hour)), "year")
}

// stamp is a moment in UTC, to the minute.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// exact is a moment in UTC, to the second.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// span is a duration in at most two units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d h %02d min", h, m)
	case m > 0:
		return fmt.Sprintf("%d min %02d s", m, s)
	}
	return fmt.Sprintf("%d s", s)
}

// count is a number with thin gaps between groups of three digits.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// size is a number of bytes.
func size(n int64) string {
	const unit = 1024
	switch {
	case n < 0:
		return ""
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f KiB", float64(n)/unit)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/unit/unit)
}
