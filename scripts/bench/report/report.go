// Package report is the table in which measured values stand beside their limits.
package report

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// ErrLimit means that a limit was exceeded.
var ErrLimit = errors.New("a limit was exceeded")

// Report collects rows of measured values beside their limits. The zero value is ready.
type Report struct {
	rows     [][4]string
	exceeded bool
}

// Note is a row without a limit.
func (r *Report) Note(what, value string) { r.rows = append(r.rows, [4]string{what, value, "", ""}) }

// Add is a row with one; ok says whether it was kept. It is told at once as well.
func (r *Report) Add(what, value, limit string, ok bool) {
	verdict := "ok"
	if !ok {
		verdict, r.exceeded = "EXCEEDED", true
	}
	r.rows = append(r.rows, [4]string{what, value, limit, verdict})
	fmt.Fprintf(os.Stderr, "%s: %s (limit %s) %s\n", what, value, limit, verdict)
}

// Duration is a row of a time that must not be longer than the limit.
func (r *Report) Duration(what string, took, limit time.Duration) {
	r.Add(what, took.Round(10*time.Millisecond).String(), limit.String(), took <= limit)
}

// Print writes the table to standard output. It fails with ErrLimit if a limit was exceeded.
func (r *Report) Print() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tlimit\t")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row[0], row[1], row[2], row[3])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.exceeded {
		return ErrLimit
	}
	return nil
}
