package site

import "net/http"

// middleware wraps a handler with one concern. Each is in a file of its own, middleware_*.go.
type middleware func(http.Handler) http.Handler

// chain wraps a handler; the first of the list is the outermost.
func chain(h http.Handler, list ...middleware) http.Handler {
	for i := len(list) - 1; i >= 0; i-- {
		h = list[i](h)
	}
	return h
}
