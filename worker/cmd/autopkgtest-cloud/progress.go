package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress shows how far the requests are.
type progress interface {
	show([]*watch)
	note(text string) // something that does not belong to one request
	end()
}

// progress picks the kind for where messages go: a terminal gets lines that change, a file gets what happened.
func (a *app) progress() progress {
	if _, terminal := a.width(); terminal {
		return &liveProgress{out: a.err, width: a.width}
	}
	return &plainProgress{out: a.err, now: a.now, told: map[string]told{}}
}

// mostLines bounds the lines that change, so that they fit on a screen.
const mostLines = 12

// liveProgress keeps a line per request up to date.
type liveProgress struct {
	out   io.Writer
	width func() (int, bool)
	lines int // written the last time
}

func (p *liveProgress) show(watches []*watch) {
	var lines []string
	done := 0
	for _, w := range watches {
		if w.result != nil {
			done++
		}
	}
	for _, w := range watches {
		if len(watches) > mostLines && w.result != nil {
			continue // room for those that still move
		}
		line := w.name() + "  " + w.state
		if w.line != "" {
			line += ": " + w.line
		}
		lines = append(lines, line)
	}
	if len(lines) > mostLines {
		lines = append(lines[:mostLines-1], fmt.Sprintf("and %d more", len(lines)-mostLines+1))
	}
	if len(watches) > mostLines {
		lines = append(lines, fmt.Sprintf("%d of %d have results", done, len(watches)))
	}
	p.draw(lines)
}

func (p *liveProgress) note(text string) { p.draw([]string{clean(text)}) }

// draw replaces what was written the last time.
func (p *liveProgress) draw(lines []string) {
	width, _ := p.width()
	var screen strings.Builder
	if p.lines > 0 {
		fmt.Fprintf(&screen, "\x1b[%dA", p.lines) // up
	}
	screen.WriteString("\r\x1b[J") // forget what is below
	for _, line := range lines {
		screen.WriteString(shorten(line, max(width-1, 20)) + "\n")
	}
	p.lines = len(lines)
	_, _ = io.WriteString(p.out, screen.String()) // a terminal that is gone is no reason to stop waiting
}

// end removes the lines: what is left to say is the outcome.
func (p *liveProgress) end() { p.draw(nil) }

// plainEvery is how often a file gets a sign of life.
const plainEvery = time.Minute

// plainProgress writes a line for each change, and for each minute without one.
type plainProgress struct {
	out   io.Writer
	now   func() time.Time
	told  map[string]told // by request id
	noted string
}

type told struct {
	phase string // the state's first word
	at    time.Time
}

func (p *plainProgress) show(watches []*watch) {
	for _, w := range watches {
		phase, _, _ := strings.Cut(w.state, " ")
		before, known := p.told[w.request.ID]
		if known && before.phase == phase && (w.result != nil || p.now().Sub(before.at) < plainEvery) {
			continue
		}
		p.told[w.request.ID] = told{phase, p.now()}
		line := w.name() + ": " + w.state
		if w.line != "" {
			line += ": " + w.line
		}
		fmt.Fprintln(p.out, line)
	}
}

// note is written once for as long as it stays the same.
func (p *plainProgress) note(text string) {
	if text != p.noted {
		fmt.Fprintln(p.out, clean(text))
		p.noted = text
	}
}

func (p *plainProgress) end() {}
