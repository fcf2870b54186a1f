package testbed

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailWriter keeps the end of what is written to it, to explain a command that failed. It may be used from several
// goroutines.
type tailWriter struct {
	mu   sync.Mutex
	kept []byte
}

// keptBytes is enough for a Python traceback.
const keptBytes = 4096

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - keptBytes; extra > 0 {
		t.kept = bytes.Clone(t.kept[extra:])
	}
	return len(p), nil
}

// String returns the last lines, without blanks around them.
func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "�"))
}

// teeWriter writes to both; the first one's error is the answer.
type teeWriter struct {
	first  interface{ Write([]byte) (int, error) }
	second *tailWriter
}

func (t teeWriter) Write(p []byte) (int, error) {
	_, _ = t.second.Write(p) // never fails
	return t.first.Write(p)
}

// lateTee keeps the end of what is written to it, and passes all of it on to whoever is named, from then on.
type lateTee struct {
	tailWriter
	mu sync.Mutex
	to io.Writer
}

// also names who gets it; nil for nobody.
func (t *lateTee) also(to io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.to = to
}

func (t *lateTee) Write(p []byte) (int, error) {
	_, _ = t.tailWriter.Write(p) // never fails
	t.mu.Lock()
	to := t.to
	t.mu.Unlock()
	if to == nil {
		return len(p), nil
	}
	return to.Write(p)
}
