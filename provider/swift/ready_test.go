package swift

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestLogIn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		login, account int // statuses
		token          string
		says           string // part of the error; empty for none
	}{
		"all is well":              {200, 204, "AUTH_tk1", ""},
		"memcached is down":        {503, 0, "", "/auth/v1.0 answers 503"},
		"wrong password":           {401, 0, "", "/auth/v1.0 answers 401"},
		"no token":                 {200, 204, "", "/auth/v1.0 answers 200"},
		"the account server fails": {200, 503, "AUTH_tk1", "AUTH_autopkgtest?limit=1 answers 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /auth/v1.0", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Auth-User") != Username || r.Header.Get("X-Auth-Key") != "PASSWORD" {
					t.Errorf("logged in as %q with %q", r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Key"))
				}
				w.Header().Set("X-Auth-Token", test.token)
				w.WriteHeader(test.login)
			})
			mux.HandleFunc("GET /v1/AUTH_autopkgtest", func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("X-Auth-Token"); got != test.token {
					t.Errorf("token = %q, want %q", got, test.token)
				}
				w.WriteHeader(test.account)
			})
			server := httptest.NewServer(mux)
			defer server.Close()
			_, err := logIn(t.Context(), config.Store{
				AuthURL: server.URL + "/auth/v1.0", StorageURL: server.URL + "/v1/AUTH_autopkgtest",
				Username: Username, Password: "PASSWORD",
			})
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("error = %v, want one that says %q", err, test.says)
			case err != nil && strings.Contains(err.Error(), "PASSWORD"):
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}
