package site

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// grace is how much later than the handler's context the connection's deadline is, so that an error page gets through.
const grace = 5 * time.Second

// limited bounds the time that a handler and its reader may take.
func (s *Site) limited(most time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), most)
		defer cancel()
		// A test's recorder has no connection, and so no deadline.
		err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(most + grace))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			s.Log.Debug("cannot bound the time of an answer", "path", r.URL.Path, "error", err)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
