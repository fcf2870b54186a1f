package swift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	swiftlib "github.com/ncw/swift/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// statusRateLimit is Swift's own for too many requests.
const statusRateLimit = 498

// kindOf sorts an error of the library into the store's kinds. What has no HTTP status comes from the connection.
func kindOf(err error) error {
	var caller *bodyError
	if errors.As(err, &caller) {
		return nil
	}
	for _, kind := range []error{store.ErrNotFound, store.ErrDenied, store.ErrInvalid, store.ErrUnavailable} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	var answer *swiftlib.Error
	if !errors.As(err, &answer) {
		return store.ErrUnavailable
	}
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return store.ErrNotFound
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return store.ErrDenied
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code == statusRateLimit,
		code == http.StatusUnprocessableEntity, // the checksum did not match: damaged on the way
		code == http.StatusConflict,            // somebody else writes the same name
		code < 300, code >= 500:
		return store.ErrUnavailable
	}
	return store.ErrInvalid
}

func failed(what, where string, kind, err error) error {
	if kind == nil || errors.Is(err, kind) {
		return fmt.Errorf("%s at %s: %w", what, where, err)
	}
	return fmt.Errorf("%s at %s: %w: %w", what, where, kind, err)
}

// modified is when an object of a listing was put. The library drops the fraction of the second, which tells apart what two
// workers put at the same time.
func modified(object swiftlib.Object) time.Time {
	exact, err := time.Parse("2006-01-02T15:04:05.999999999", strings.TrimSuffix(object.ServerLastModified, "Z"))
	if err != nil {
		return object.LastModified.UTC()
	}
	return exact.UTC()
}

func properties(headers swiftlib.Headers) store.Properties {
	p := store.Properties{
		ContentType:     headers["Content-Type"],
		ContentEncoding: headers["Content-Encoding"],
		Size:            -1,
	}
	if size, err := strconv.ParseInt(headers["Content-Length"], 10, 64); err == nil {
		p.Size = size
	}
	return p
}

// body is an object that is being read. At its end length and checksum have been compared.
type body struct {
	ctx         context.Context
	file        *swiftlib.ObjectOpenFile
	cancel      context.CancelFunc
	what, where string
	ended       bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.file.Read(p)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		// The library compares when it closes. Readers ask whether the end was the end, and seldom look at Close.
		b.ended = true
		if err := b.file.Close(); err != nil {
			return n, failed(b.what, b.where, store.ErrUnavailable, err)
		}
		return n, io.EOF
	}
	if ended := b.ctx.Err(); ended != nil {
		return n, fmt.Errorf("%s at %s: %w", b.what, b.where, ended)
	}
	return n, failed(b.what, b.where, store.ErrUnavailable, err)
}

func (b *body) Close() error {
	defer b.cancel()
	if b.ended {
		return nil
	}
	b.ended = true
	return b.file.Close()
}
