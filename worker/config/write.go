package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// writer builds an INI file: deterministic, empty values left out.
type writer struct {
	out     strings.Builder
	pending string // the section's head, written with its first key
}

func newWriter(comment string) *writer {
	w := &writer{}
	fmt.Fprintf(&w.out, "# %s\n", comment)
	return w
}

func (w *writer) section(name string) { w.pending = "\n[" + name + "]\n" }

func (w *writer) key(name, value string) {
	if value != "" {
		w.keyAlways(name, value)
	}
}

// keyAlways writes a key whose empty value means something else than its absence.
func (w *writer) keyAlways(name, value string) {
	w.out.WriteString(w.pending)
	w.pending = ""
	fmt.Fprintln(&w.out, strings.TrimRight(name+" = "+value, " "))
}

func (w *writer) list(name string, values []string) { w.key(name, strings.Join(values, " ")) }

func (w *writer) number(name string, value int) {
	if value != 0 {
		w.key(name, strconv.Itoa(value))
	}
}

func (w *writer) duration(name string, value time.Duration) {
	if value > 0 {
		w.key(name, DurationText(value))
	}
}

// DurationText writes a duration as people do, 8h and not 8h0m0s; time.ParseDuration reads it back.
func DurationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (w *writer) bytes() []byte { return []byte(w.out.String()) }
