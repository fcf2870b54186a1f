package site

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of what is shown of a log. The beginning and the end are kept, where nearly all answers are.
const (
	logHead     = 768 << 10 // bytes
	logTail     = 768 << 10
	logLine     = 8 << 10 // a longer line is cut
	logSections = 2000
	logMost     = 512 << 20 // bytes that are read at all, unpacked
)

// Log is what a page shows of a log.
type Log struct {
	Sections []*Section
	Lines    int  // in the whole log
	Omitted  int  // of these, lines that are not shown
	Cut      bool // the log goes on behind what was read
	Broken   bool // it ends in the middle: its upload or its writing broke off
}

// Section is a part of a log, from one of autopkgtest's own headings to the next.
type Section struct {
	Number  int
	Title   string
	Test    string // the test that it belongs to, or empty
	Kind    string // of a test's section: "preparing testbed", "output", "results", "stderr"
	Status  string // PASS, FAIL, … as the section's results say; empty when they do not
	Clock   string // HH:MM:SS
	Took    time.Duration
	Head    []Line
	Omitted int // lines between Head and Tail that are not shown
	Tail    []Line
	Count   int
}

// Line is a line of a log, without its end.
type Line struct {
	Number int
	Text   string
	Status string // for a line of results
}

// Forms of autopkgtest's lines. Newer versions put the seconds since the start in front.
var (
	heading    = regexp.MustCompile(`^(?: *\d+s )?autopkgtest \[(\d\d:\d\d:\d\d)\]: (.*)$`)
	bigTitle   = regexp.MustCompile(`^@{4,} *(.*)$`)
	testTitle  = regexp.MustCompile(`^test (\S+): (preparing testbed|\[-{4,}| (?:- )+(\w+)(?: -)+ *)$`)
	resultLine = regexp.MustCompile(`^(?: *\d+s )?(\S+) +(PASS|FAIL|SKIP|FLAKY)\b(.*)$`)
	escapes    = regexp.MustCompile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|[@-Z\\\\-_])")
)

// logParser keeps the head and the tail of the lines that it is given.
type logParser struct {
	log     Log
	current *Section
	head    int // bytes
	tail    []tailLine
	first   int // index of the oldest in tail
	tailed  int // bytes
}

type tailLine struct {
	section *Section
	line    Line
}

// parseLog reads a log, whatever its length, with bounded memory.
func parseLog(from io.Reader) (*Log, error) {
	p := &logParser{}
	p.begin(Section{Title: "start"})
	bounded := &io.LimitedReader{R: from, N: logMost}
	in := bufio.NewReaderSize(bounded, logLine)
	for {
		text, err := readLine(in)
		if text != "" || err == nil {
			p.add(text)
		}
		if errors.Is(err, io.EOF) {
			p.log.Cut = bounded.N <= 0
			return p.finish(), nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			p.log.Broken = true
			return p.finish(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readLine reads a line, of which it keeps as much as fits into the reader's buffer. The end of the log may come with it.
func readLine(in *bufio.Reader) (string, error) {
	piece, err := in.ReadSlice('\n')
	text := string(piece)
	cut := false
	for errors.Is(err, bufio.ErrBufferFull) {
		cut = true
		_, err = in.ReadSlice('\n')
	}
	text = strings.TrimRight(text, "\r\n")
	if cut {
		text = text[:len(text)-trailingPart(text)] + " […]"
	}
	return text, err
}

// trailingPart is how many bytes at the end of a text are the beginning of a character that was cut.
func trailingPart(text string) int {
	for i := 1; i <= utf8.UTFMax && i <= len(text); i++ {
		if b := text[len(text)-i]; utf8.RuneStart(b) {
			if utf8.FullRuneInString(text[len(text)-i:]) {
				return 0
			}
			return i
		}
	}
	return 0
}

// clean makes a line fit to be shown: no terminal escapes, and of a line that was drawn over again and again (a progress
// bar) only the last state.
func clean(text string) string {
	if strings.IndexByte(text, '\x1b') >= 0 {
		text = escapes.ReplaceAllString(text, "")
	}
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	if plain(text) {
		return text
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, text)
}

// plain tells whether a line is of printable ASCII and tabulators, as nearly all are.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

func (p *logParser) add(text string) {
	text = clean(text)
	p.log.Lines++
	line := Line{Number: p.log.Lines, Text: text}
	p.look(&line)
	p.current.Count++
	p.keep(line)
}

// look finds out what a line is. Nearly all are a test's own, so what is quickly said goes first.
func (p *logParser) look(line *Line) {
	if strings.Contains(line.Text, "autopkgtest [") {
		if m := heading.FindStringSubmatch(line.Text); m != nil {
			p.heading(m[1], m[2])
			return
		}
	}
	if !p.showsResults() {
		return
	}
	if m := resultLine.FindStringSubmatch(line.Text); m != nil {
		line.Status = m[2]
		if p.current.Status == "" || m[2] == "FAIL" {
			p.current.Status = m[2]
		}
	}
}

func (p *logParser) showsResults() bool {
	return p.current.Kind == "results" || p.current.Title == "summary"
}

// heading looks whether a line of autopkgtest's own begins a section.
func (p *logParser) heading(clock, text string) {
	if m := bigTitle.FindStringSubmatch(text); m != nil {
		p.begin(Section{Title: m[1], Clock: clock})
	} else if m := testTitle.FindStringSubmatch(text); m != nil {
		kind := "output"
		switch {
		case m[3] != "":
			kind = m[3]
		case m[2] == "preparing testbed":
			kind = m[2]
		}
		p.begin(Section{Title: m[1] + ": " + kind, Test: m[1], Kind: kind, Clock: clock})
	} else if p.current.Clock == "" {
		p.current.Clock = clock
	}
}

func (p *logParser) begin(s Section) {
	if len(p.log.Sections) >= logSections {
		return
	}
	if p.current != nil && p.current.Count == 0 {
		p.log.Sections = p.log.Sections[:len(p.log.Sections)-1] // nothing came before the first heading
	}
	if p.current != nil {
		p.current.Took = between(p.current.Clock, s.Clock)
	}
	s.Number = len(p.log.Sections) + 1
	p.current = &s
	p.log.Sections = append(p.log.Sections, p.current)
}

// between is the time from one clock to another, which may be past midnight.
func between(from, to string) time.Duration {
	a, errA := time.Parse(time.TimeOnly, from)
	b, errB := time.Parse(time.TimeOnly, to)
	if errA != nil || errB != nil {
		return 0
	}
	d := b.Sub(a)
	if d < 0 {
		d += 24 * time.Hour
	}
	return d
}

// keep stores a line at the head as long as there is room, and otherwise at the tail, from which the oldest lines fall.
func (p *logParser) keep(line Line) {
	cost := len(line.Text) + 32 // and what a line costs by itself
	if p.head+cost <= logHead {
		p.head += cost
		p.current.Head = append(p.current.Head, line)
		return
	}
	p.head = logHead // from here on, a short line must not slip in at the head
	p.tail = append(p.tail, tailLine{p.current, line})
	p.tailed += cost
	for p.tailed > logTail {
		oldest := p.tail[p.first]
		p.tail[p.first] = tailLine{}
		p.first++
		p.tailed -= len(oldest.line.Text) + 32
		oldest.section.Omitted++
		p.log.Omitted++
	}
	if p.first > len(p.tail)/2 && p.first > 1024 {
		p.tail = append([]tailLine(nil), p.tail[p.first:]...)
		p.first = 0
	}
}

func (p *logParser) finish() *Log {
	for _, t := range p.tail[p.first:] {
		t.section.Tail = append(t.section.Tail, t.line)
	}
	return &p.log
}
