package site

import "net/http"

// What a browser may do with our pages: show them with our style sheet, send our search form, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'"

// What it may do with an object of the store, which anybody's test may have written: show it as if it were alone.
const objectPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

// secureHeaders sets the headers that keep a browser strict. Handlers can replace them.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
