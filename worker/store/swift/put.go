package swift

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	swiftlib "github.com/ncw/swift/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Put implements store.Store. The server is told the length and the checksum beforehand, refuses anything else, and its
// answer is compared once more.
func (s *Store) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64,
	properties store.Properties,
) error {
	what := "put " + container + "/" + object
	if err := store.CheckObject(container, object); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("%s: find the body's position: %w", what, err)
	}
	sum, err := checksum(ctx, body, size)
	if err != nil {
		return fmt.Errorf("%s: read the body: %w", what, err)
	}
	contentType := properties.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	headers := swiftlib.Headers{"Content-Length": strconv.FormatInt(size, 10)}
	if properties.ContentEncoding != "" {
		headers["Content-Encoding"] = properties.ContentEncoding
	}
	return s.call(ctx, what, func(ctx context.Context, c *swiftlib.Connection) error {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return &bodyError{err}
		}
		return lend(io.LimitReader(body, size), func(body io.Reader) error {
			answer, err := c.ObjectPut(ctx, container, object, body, true, sum, contentType, headers)
			if err != nil {
				return err
			}
			if etag := strings.ToLower(answer["Etag"]); etag != sum {
				return fmt.Errorf("%w: it confirms checksum %q, the body has %s", errDamagedThere, etag, sum)
			}
			return nil
		})
	})
}

// errDamagedThere: the server says that it has stored something else.
var errDamagedThere = errors.New("the object arrived damaged")

// bodyError is the caller's: its body cannot be read again.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read the body: " + e.err.Error() }

func (e *bodyError) Unwrap() error { return e.err }

// checksum reads a body to its end and insists on its size.
func checksum(ctx context.Context, body io.Reader, size int64) (string, error) {
	hash := md5.New()
	buffer := make([]byte, max(min(size+1, 256<<10), 1)) // one more, to notice a body that is longer
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		read, err := body.Read(buffer)
		hash.Write(buffer[:read])
		n += int64(read)
		if n > size {
			return "", fmt.Errorf("%w: it has more than %d bytes", store.ErrInvalid, size)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if n < size {
		return "", fmt.Errorf("%w: it has %d bytes, not %d", store.ErrInvalid, n, size)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// lend gives out a reader for the time of an attempt. When it returns nobody reads any more: the HTTP client may still be
// at a body after it has answered, while the next attempt rewinds it or the caller closes it. If the body failed, that is
// the error, whatever the attempt made of it.
func lend(reader io.Reader, attempt func(io.Reader) error) error {
	g := &guard{reader: reader}
	err := attempt(g)
	if bad := g.close(); bad != nil {
		return &bodyError{bad}
	}
	return err
}

type guard struct {
	mutex  sync.Mutex
	reader io.Reader
	closed bool
	err    error // what the body said, unless it was the end
}

var errOver = errors.New("the attempt is over")

func (g *guard) Read(p []byte) (int, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.closed {
		return 0, errOver
	}
	n, err := g.reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		g.err = err
	}
	return n, err
}

// close waits for a read that is under way, and tells what went wrong with the reader.
func (g *guard) close() error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.closed = true
	return g.err
}
