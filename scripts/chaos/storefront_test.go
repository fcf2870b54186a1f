package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// shop is a store that counts what it was given whole, with a storefront before it.
func shop(t *testing.T) (s *storefront, account config.Store, whole, broken *atomic.Int64) {
	t.Helper()
	whole, broken = new(atomic.Int64), new(atomic.Int64)
	var origin *httptest.Server
	origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/auth/") {
			w.Header().Set(tokenHeader, "token")
			w.Header().Set("X-Storage-Url", origin.URL+"/v1/AUTH_a")
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			broken.Add(1)
			return
		}
		if r.Method == http.MethodPut {
			whole.Add(1)
		}
	}))
	t.Cleanup(origin.Close)
	s, account, err := newStorefront(t.Context(), config.Store{AuthURL: origin.URL + "/auth/v1.0", StorageURL: origin.URL + "/v1/AUTH_a"},
		rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, account, whole, broken
}

func call(t *testing.T, method, url string, size int) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	if method != http.MethodGet { // a login has none
		r.Header.Set(tokenHeader, "token")
	}
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return answer, err
}

func TestStorefront(t *testing.T) {
	t.Parallel()
	s, account, whole, broken := shop(t)
	login := func() {
		answer, err := call(t, http.MethodGet, account.AuthURL, 0)
		if err != nil || answer.Header.Get("X-Storage-Url") != account.StorageURL {
			t.Fatalf("login: %v, %v, want the storefront's own address", answer, err)
		}
	}
	put := func() (int, error) {
		answer, err := call(t, http.MethodPut, account.StorageURL+"/c/o", 1<<20)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, nil
	}
	login()
	if code, err := put(); code != http.StatusOK || err != nil || whole.Load() != 1 {
		t.Fatalf("with nothing broken: %d, %v; %d arrived", code, err, whole.Load())
	}
	s.expire()
	if code, _ := put(); code != http.StatusUnauthorized {
		t.Errorf("with an expired token: %d, want 401", code)
	}
	login()
	for kind, want := range map[plan.FaultKind]int{plan.TooMany: 429, plan.Unavailable: 503, plan.StoreAway: 0} {
		heal := s.fail(kind)
		met := false
		for range 50 {
			if code, err := put(); code == want && (code != 0 || err != nil) {
				met = true
			}
		}
		heal()
		if !met {
			t.Errorf("%s: nothing met it", kind)
		}
	}
	// Cut uploads: what was cut in the middle did not arrive, what was cut at its end did.
	whole.Store(0)
	broken.Store(0)
	heal := s.fail(plan.CutUpload)
	good, cut := 0, 0
	for range 60 {
		if _, err := put(); err != nil {
			cut++
		} else {
			good++
		}
	}
	heal()
	if cut == 0 || broken.Load() == 0 || int(whole.Load()) <= good {
		t.Errorf("%d uploads were cut, %d confirmed; %d arrived whole, %d broken: want cuts of both kinds", cut, good, whole.Load(), broken.Load())
	}
	if code, err := put(); code != http.StatusOK || err != nil {
		t.Errorf("when all is over: %d, %v", code, err)
	}
}
