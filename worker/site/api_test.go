package site

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

func TestAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "https://results.test")
	f.demo(t)
	for name, path := range map[string]string{
		"results-request.json": "/api/v1/results?request=id-90",
		"results-filter.json":  "/api/v1/results?release=trixie&arch=amd64&package=systemd&limit=2",
		"results-none.json":    "/api/v1/results?request=nobodys",
		"queues.json":          "/api/v1/queues",
		"running.json":         "/static/running.json",
		"running-list.json":    "/api/v1/running",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, body := f.get(t, path)
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s %v", answer.Status, answer.Header)
			}
			var indented strings.Builder
			var value any
			if err := json.Unmarshal([]byte(body), &value); err != nil {
				t.Fatal(err)
			}
			encoder := json.NewEncoder(&indented)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(value); err != nil {
				t.Fatal(err)
			}
			golden(t, name, indented.String())
		})
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=1001", "?colour=red", "?before=x", "?arch=a&arch=b",
		"?request=" + strings.Repeat("x", 300)} {
		answer, body := f.get(t, "/api/v1/results"+query)
		var problem struct{ Error string }
		if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Error == "" || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s %s", query, answer.Status, body)
		}
	}
}

// A run with a PPA has no page, but whoever asked for it finds it.
func TestAPIOfAPPA(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "https://results.test")
	loc := at("trixie", "amd64", "green", time.Minute)
	loc.Container = "autopkgtest-trixie-joe-foo"
	if err := f.store.CreateContainer(t.Context(), loc.Container, true); err != nil {
		t.Fatal(err)
	}
	f.run(t, loc, result.Result{Version: "1", Request: []byte("green\n" + `{"ppas": ["joe/foo"], "request-id": "mine"}`)}, realLog)
	_, body := f.get(t, "/api/v1/results?request=mine")
	var got struct{ Results []apiResult }
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Results) != 1 {
		t.Fatal(err, body)
	}
	path := "/results/autopkgtest-trixie-joe-foo/" + loc.Dir() + "/"
	if got.Results[0].URL != "https://results.test"+path || got.Results[0].Log != "https://results.test"+path+"log.gz" {
		t.Errorf("%+v", got.Results[0])
	}
	if answer, body := f.get(t, path); answer.StatusCode != http.StatusOK || !strings.Contains(body, "result.tar") {
		t.Errorf("%s: %s %s", path, answer.Status, body)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "https://results.test")
	if answer, body := f.get(t, "/healthz"); answer.StatusCode != http.StatusOK || body != "{\"ok\":true}\n" {
		t.Errorf("%s %s", answer.Status, body)
	}
	const ready = `{"checks":[{"name":"index","ok":true},{"name":"store","ok":true},{"name":"broker","ok":true}],"ok":true}` + "\n"
	if answer, body := f.get(t, "/readyz"); answer.StatusCode != http.StatusOK || body != ready {
		t.Errorf("%s %s", answer.Status, body)
	}
	f.broker = ErrNoBroker
	f.Store = broken{f.store}
	answer, body := f.get(t, "/readyz")
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"broker","ok":false,"reason":"not connected`) ||
		!strings.Contains(body, `"store","ok":false,"reason":"on purpose`) {
		t.Errorf("%s %s", answer.Status, body)
	}
	if answer, _ := f.get(t, "/healthz"); answer.StatusCode != http.StatusOK {
		t.Errorf("alive it is: %s", answer.Status)
	}
}
