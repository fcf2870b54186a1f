package site

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

// recoverPanics turns a bug into an error page and a log entry, instead of a connection that breaks off.
func (s *Site) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			problem := recover()
			if problem == nil {
				return
			}
			if err, ok := problem.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(problem) // the server's own way to say: break it off
			}
			s.Log.Error("panic", "path", r.URL.Path, "panic", fmt.Sprint(problem), "stack", string(debug.Stack()))
			s.errorPage(w, r, fmt.Errorf("panic: %v", problem))
		}()
		next.ServeHTTP(w, r)
	})
}
