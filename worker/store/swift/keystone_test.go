package swift_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// identity answers logins as Keystone does, in versions 2 and 3, with a catalogue that leads to a store in two regions.
func identity(t *testing.T) (url string, login func() map[string]any) {
	t.Helper()
	logins := make(chan map[string]any, 1)
	routes := http.NewServeMux()
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	take := func(r *http.Request) {
		var body map[string]any
		content, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(content, &body); err != nil {
			t.Errorf("the login is %q", content)
		}
		logins <- body
	}
	routes.HandleFunc("POST /v2.0/tokens", func(w http.ResponseWriter, r *http.Request) {
		take(r)
		fmt.Fprintf(w, `{"access": {"token": {"id": "two"}, "serviceCatalog": [{"type": "object-store", "endpoints": [`+
			`{"region": "r1", "publicURL": "%[1]s/wrong"}, {"region": "r2", "publicURL": "%[1]s/right"}]}]}}`, server.URL)
	})
	routes.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		take(r)
		w.Header().Set("X-Subject-Token", "three")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [{"type": "object-store", "endpoints": [`+
			`{"interface": "public", "region": "r1", "url": "%[1]s/right"}]}]}}`, server.URL)
	})
	routes.HandleFunc("GET /right", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "token-%s\n", r.Header.Get("X-Auth-Token"))
	})
	return server.URL, func() map[string]any { return <-logins }
}

// TestKeystone logs in as worker.conf of 2015 and as today's environment say.
func TestKeystone(t *testing.T) {
	t.Parallel()
	url, login := identity(t)
	for name, test := range map[string]struct {
		account   config.Store
		container string
		want      map[string]any
	}{
		"version 2": {
			config.Store{AuthURL: url + "/v2.0", Username: "u", Password: "p", Tenant: "t", Region: "r2"}, "token-two",
			map[string]any{"auth": map[string]any{
				"tenantName": "t", "passwordCredentials": map[string]any{"username": "u", "password": "p"},
			}},
		},
		"version 3": {
			config.Store{AuthURL: url + "/v3", Username: "u", Password: "p", Tenant: "t", UserDomain: "ud", ProjectDomain: "pd"}, "token-three",
			map[string]any{"auth": map[string]any{
				"identity": map[string]any{"methods": []any{"password"}, "password": map[string]any{
					"user": map[string]any{"name": "u", "password": "p", "domain": map[string]any{"name": "ud"}},
				}},
				"scope": map[string]any{"project": map[string]any{"name": "t", "domain": map[string]any{"name": "pd"}}},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			names, err := swift.New(test.account).Containers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, login()); diff != "" {
				t.Errorf("login (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{test.container}, names); diff != "" {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
		})
	}
}
