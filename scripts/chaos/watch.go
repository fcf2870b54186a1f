package main

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
)

// watch follows the logs of all workers: they tell the states of requests.
type watch struct {
	mu      sync.Mutex
	waiting map[string][]chan *machine // state → whoever waits for a request that enters it
	errors  map[string]int             // message of level ERROR → how often
}

func newWatch() *watch {
	return &watch{waiting: map[string][]chan *machine{}, errors: map[string]int{}}
}

// line is what we look for in a line of a log.
type line struct {
	Level string `json:"level"`
	Text  string `json:"msg"`
	State string `json:"state"`
}

// read copies a machine's log and looks at each line, until there are no more.
func (w *watch) read(m *machine, from io.Reader, to io.Writer) {
	for in := bufio.NewReader(from); ; {
		text, err := in.ReadBytes('\n')
		if len(text) > 0 {
			_, _ = to.Write(text)
			w.see(m, text)
		}
		if err != nil {
			return
		}
	}
}

func (w *watch) see(m *machine, text []byte) {
	var l line
	if json.Unmarshal(text, &l) != nil {
		return // a panic, which the log keeps
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.Level == "ERROR" {
		w.errors[l.Text]++
	}
	for _, waiter := range w.waiting[l.State] {
		waiter <- m // has room for it
	}
	delete(w.waiting, l.State)
}

// entered gives the worker whose request next enters a state.
func (w *watch) entered(state string) <-chan *machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiter := make(chan *machine, 1)
	w.waiting[state] = append(w.waiting[state], waiter)
	return waiter
}
