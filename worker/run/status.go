package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

const (
	statusInterval = 10 * time.Second
	statusLimit    = 5 * time.Second
)

// reporter tells the world every ten seconds that a request is in work, and once that it is no longer. Nothing depends on
// these messages: one that cannot be sent is left out.
type reporter struct {
	life  *life
	began time.Time
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once

	mu  sync.Mutex
	log string // path of the log that is being written
}

// report starts the reporter, or points it at the log of a new attempt.
func (l *life) report(ctx context.Context, folder string) {
	path := filepath.Join(folder, logFile)
	if l.reporter != nil {
		l.reporter.mu.Lock()
		l.reporter.log = path
		l.reporter.mu.Unlock()
		return
	}
	r := &reporter{life: l, began: time.Now(), quit: make(chan struct{}), ended: make(chan struct{}), log: path}
	l.reporter = r
	go r.run(context.WithoutCancel(ctx))
}

// stop sends the last message and waits until the reporter has ended.
func (r *reporter) stop() {
	r.once.Do(func() { close(r.quit) })
	<-r.ended
}

func (r *reporter) run(ctx context.Context) {
	defer close(r.ended)
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	r.send(ctx, true)
	for {
		select {
		case <-ticker.C:
			r.send(ctx, true)
		case <-r.quit:
			r.send(ctx, false)
			return
		}
	}
}

func (r *reporter) send(ctx context.Context, running bool) {
	session := r.life.worker.broker.now()
	if session == nil {
		return
	}
	r.mu.Lock()
	path := r.log
	r.mu.Unlock()
	l := r.life
	status := queue.NewStatus(l.delivery.Queue, l.request, l.delivery.Body, running, time.Since(r.began), logTail(path))
	status.Handle, status.Worker = l.id, l.state.worker
	message, err := status.Message()
	if err != nil {
		l.log.Debug("status message", "error", err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusLimit, errors.New("no confirm in time"))
	defer cancel()
	if err := session.PublishMessage(ctx, queue.StatusExchange, "", message); err != nil {
		l.log.Debug("status message not sent", "error", err)
		l.worker.settings.Observer.Unheard()
	}
}

const (
	headLines = 5
	tailBytes = 2000
	tailMark  = "[... 🠉 HEAD 🠉 ... 🠋 TAIL 🠋 ...]\n"

	// longestHead bounds what is read for the head: a test may write a line without end.
	longestHead = 4096
)

// logTail is what a status message shows of a log: its first lines, a mark, and the last whole lines of its last 2000
// bytes. Of a log that is shorter than that, the mark stands between the first lines and the rest.
func logTail(path string) string {
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return tailMark
		}
		return err.Error() + "\n"
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return tailMark
	}
	buffer := make([]byte, longestHead)
	n, _ := io.ReadFull(file, buffer) // a log that is shorter is complete
	first := buffer[:n]
	lines, rest := splitLines(first, headLines)
	if info.Size() < tailBytes {
		return text(lines) + tailMark + text(rest)
	}
	tail := make([]byte, tailBytes)
	n, err = file.ReadAt(tail, info.Size()-tailBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return text(lines) + tailMark
	}
	if _, whole, found := bytes.Cut(tail[:n], []byte("\n")); found {
		return text(lines) + tailMark + text(whole)
	}
	return text(lines) + tailMark + text(tail[:n])
}

// splitLines cuts off the first lines.
func splitLines(content []byte, count int) (lines, rest []byte) {
	end := 0
	for range count {
		newline := bytes.IndexByte(content[end:], '\n')
		if newline < 0 {
			return content, nil
		}
		end += newline + 1
	}
	return content[:end], content[end:]
}

// text makes valid UTF-8 of what a test has printed.
func text(content []byte) string { return strings.ToValidUTF8(string(content), "\uFFFD") }
