package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// storefront stands between the workers and the store and fails in the store's place.
type storefront struct {
	server *http.Server
	served chan struct{}
	base   string

	mu      sync.Mutex
	random  *rand.Rand
	broken  map[plan.FaultKind]int // how many faults of a kind are on
	changed chan struct{}          // closed and replaced when broken changes
	given   map[string]bool        // tokens → still good
	counts  map[plan.FaultKind]int // requests that met a fault
}

const tokenHeader = "X-Auth-Token"

// newStorefront returns the account with the addresses of a storefront.
func newStorefront(ctx context.Context, account config.Store, random *rand.Rand) (*storefront, config.Store, error) {
	login, err := url.Parse(account.AuthURL)
	if err != nil {
		return nil, account, err
	}
	listener, _, err := loopback(ctx)
	if err != nil {
		return nil, account, err
	}
	s := &storefront{
		base: "http://" + listener.Addr().String(), served: make(chan struct{}), random: random,
		broken: map[plan.FaultKind]int{}, changed: make(chan struct{}), given: map[string]bool{},
		counts: map[plan.FaultKind]int{},
	}
	origin := login.Scheme + "://" + login.Host
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: login.Scheme, Host: login.Host}) },
		Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: 16, ExpectContinueTimeout: time.Second,
		},
		ModifyResponse: func(answer *http.Response) error { return s.answered(answer, origin) },
		// As if we were not here: a store that is gone is a connection that ends.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	s.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, forward) }),
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // until it is closed
	}()
	account.AuthURL = strings.Replace(account.AuthURL, origin, s.base, 1)
	account.StorageURL = strings.Replace(account.StorageURL, origin, s.base, 1)
	return s, account, nil
}

func (s *storefront) close() {
	_ = s.server.Close()
	<-s.served
}

// fail lets requests fail in a way for a while; it is over when the returned function was called.
func (s *storefront) fail(kind plan.FaultKind) (heal func()) {
	s.change(kind, 1)
	return func() { s.change(kind, -1) }
}

func (s *storefront) change(kind plan.FaultKind, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[kind] += by
	close(s.changed)
	s.changed = make(chan struct{})
}

// expire makes all tokens that were given out worthless.
func (s *storefront) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.given {
		s.given[token] = false
	}
}

// Shares of the requests that meet a fault while it is on. With all of them refused, a failing server would be one that is
// away.
var shares = map[plan.FaultKind]float64{
	plan.StoreAway: 1, plan.StoreHangs: 1, plan.TooMany: 0.7, plan.Unavailable: 0.7, plan.CutUpload: 0.5,
}

// meets says which fault a request meets: one of those that are on, or none.
func (s *storefront) meets(r *http.Request) plan.FaultKind {
	s.mu.Lock()
	defer s.mu.Unlock()
	if good, known := s.given[r.Header.Get(tokenHeader)]; known && !good {
		s.counts[plan.ExpireToken]++
		return plan.ExpireToken
	}
	var on []plan.FaultKind
	for _, kind := range plan.FaultKinds {
		if s.broken[kind] > 0 && (kind != plan.CutUpload || r.Method == http.MethodPut) {
			on = append(on, kind)
		}
	}
	if len(on) == 0 {
		return ""
	}
	kind := on[s.random.IntN(len(on))]
	if s.random.Float64() >= shares[kind] {
		return ""
	}
	s.counts[kind]++
	return kind
}

func (s *storefront) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	switch s.meets(r) {
	case plan.StoreAway:
		reset(w)
	case plan.StoreHangs:
		s.waitFor(r.Context(), plan.StoreHangs)
		reset(w)
	case plan.TooMany:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests (chaos)", http.StatusTooManyRequests)
	case plan.Unavailable:
		http.Error(w, "unavailable (chaos)", http.StatusServiceUnavailable)
	case plan.ExpireToken:
		http.Error(w, "token expired (chaos)", http.StatusUnauthorized)
	case plan.CutUpload:
		s.cut(w, r, forward)
	default:
		forward.ServeHTTP(w, r)
	}
}

// reset ends a connection as a machine does that knows nothing of it.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// waitFor waits until no fault of the kind is on.
func (s *storefront) waitFor(ctx context.Context, kind plan.FaultKind) {
	for {
		s.mu.Lock()
		on, changed := s.broken[kind], s.changed
		s.mu.Unlock()
		if on == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

var errCut = errors.New("cut by chaos")

type cutKey struct{}

// cut breaks an upload: in its middle, the store then gets half of it; or at its end, the store then has all of it and the
// worker does not know.
func (s *storefront) cut(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	s.mu.Lock()
	middle := s.random.IntN(2) == 0
	s.mu.Unlock()
	if middle && r.ContentLength > 1 {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), failing{}), r.Body}
	} else {
		r = r.WithContext(context.WithValue(r.Context(), cutKey{}, true))
	}
	forward.ServeHTTP(w, r)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCut }

// answered looks at what the store says: tokens are remembered, its own address is replaced by ours.
func (s *storefront) answered(answer *http.Response, origin string) error {
	if answer.Request.Context().Value(cutKey{}) != nil {
		_ = answer.Body.Close()
		return errCut
	}
	if token := answer.Header.Get(tokenHeader); token != "" {
		s.mu.Lock()
		// A login may be answered with the token that it was answered with before. The store's word counts.
		s.given[token] = true
		s.mu.Unlock()
	}
	if address := answer.Header.Get("X-Storage-Url"); address != "" {
		answer.Header.Set("X-Storage-Url", strings.Replace(address, origin, s.base, 1))
	}
	return nil
}

// met says how many requests met which faults.
func (s *storefront) met() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, kind := range plan.FaultKinds {
		if n := s.counts[kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d requests (%s)", n, strings.TrimPrefix(string(kind), "store: ")))
		}
	}
	if len(words) == 0 {
		return "no request"
	}
	return strings.Join(words, ", ")
}
