package site

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

type logData struct {
	Run index.Run
	Log *Log
}

// logPage shows a run's log, split into its sections. It is read from the store piece by piece, and of a huge one only the
// beginning and the end are kept.
func (s *Site) logPage(w http.ResponseWriter, r *http.Request, loc result.Location) error {
	run, err := s.Index.Run(r.Context(), loc)
	if err != nil {
		return err
	}
	// Rendering takes some megabytes; only so many at a time.
	select {
	case s.logs <- struct{}{}:
		defer func() { <-s.logs }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	log, err := s.readLog(r.Context(), loc)
	if err != nil {
		return fmt.Errorf("read the log of %s/%s: %w", loc.Container, loc.Dir(), err)
	}
	return s.render(w, r, "log", logData{Run: run, Log: log})
}

func (s *Site) readLog(ctx context.Context, loc result.Location) (*Log, error) {
	body, _, err := s.Store.Get(ctx, loc.Container, loc.Object(result.LogObject))
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end or given up
	in := bufio.NewReader(body)
	// Whatever its properties say: the content tells whether it is packed.
	if magic, err := in.Peek(2); err != nil || !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return parseLog(in)
	}
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, &userError{status: http.StatusBadGateway, cause: err, text: "The log in the store is damaged."}
	}
	return parseLog(&tolerant{unpacked})
}

// tolerant makes any damage in the middle of a packed log its early end, so that what can be read is shown.
type tolerant struct{ from io.Reader }

func (t *tolerant) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if damagedGzip(err) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
