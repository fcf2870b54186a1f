package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// handler answers a request or tells why it cannot.
type handler func(http.ResponseWriter, *http.Request) error

// userError is an error that is meant for whoever asked: what is wrong, and the way out.
type userError struct {
	status int
	text   string
	cause  error // for the log; may be nil
}

func (e *userError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %v", e.text, e.cause)
	}
	return e.text
}

func (e *userError) Unwrap() error { return e.cause }

func notFound(format string, args ...any) error {
	return &userError{status: http.StatusNotFound, text: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &userError{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// explain chooses the status and the words for an error. What is wrong inside is not told.
func explain(err error) (status int, text string) {
	var forUser *userError
	switch {
	case errors.As(err, &forUser):
		return forUser.status, forUser.text
	case errors.Is(err, index.ErrUnknown):
		return http.StatusNotFound, "There is no such run. It may be too new to be in the index; that takes a few minutes at most."
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, "The store has no such object."
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrDenied):
		return http.StatusBadGateway, "The result store does not answer as it should. Please try again in a few minutes."
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "This took too long. Please try again in a few minutes."
	}
	return http.StatusInternalServerError, "Something went wrong here. It was logged; please try again later."
}

// html makes a handler whose errors are pages.
func (s *Site) html(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.errorPage(w, r, err)
		}
	})
}

// json makes a handler whose errors are JSON objects.
func (s *Site) json(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil || s.gone(r) {
			return
		}
		status, text := explain(err)
		s.logError(r, status, err)
		s.writeJSON(w, r, status, map[string]string{"error": text})
	})
}

type errorData struct {
	Status int
	Title  string
	Text   string
}

func (s *Site) errorPage(w http.ResponseWriter, r *http.Request, err error) {
	if s.gone(r) {
		return
	}
	status, text := explain(err)
	s.logError(r, status, err)
	data := errorData{Status: status, Title: http.StatusText(status), Text: text}
	if err := s.renderStatus(w, r, status, "error", data); err != nil {
		s.Log.Error("cannot render the error page", "error", err)
		http.Error(w, text, status)
	}
}

// gone tells whether the reader has left, so that there is nobody to answer.
func (s *Site) gone(r *http.Request) bool { return errors.Is(r.Context().Err(), context.Canceled) }

func (s *Site) logError(r *http.Request, status int, err error) {
	if status >= http.StatusInternalServerError {
		s.Log.Error("cannot answer", "path", r.URL.Path, "status", status, "error", err)
	}
}

// writeJSON answers with a value as JSON, which any page may read.
func (s *Site) writeJSON(w http.ResponseWriter, r *http.Request, status int, value any) {
	content, err := json.Marshal(value)
	if err != nil {
		s.Log.Error("cannot encode the answer", "path", r.URL.Path, "error", err)
		http.Error(w, `{"error":"cannot encode the answer"}`, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	h.Set("Access-Control-Allow-Origin", "*")
	w.WriteHeader(status)
	if _, err := w.Write(append(content, '\n')); err != nil {
		s.Log.Debug("the reader left", "path", r.URL.Path, "error", err)
	}
}

func (s *Site) nothingHere(http.ResponseWriter, *http.Request) error {
	return notFound("There is no such page.")
}

// moved sends to another page for good.
func (s *Site) moved(to string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, s.base+to, http.StatusMovedPermanently)
		return nil
	}
}
