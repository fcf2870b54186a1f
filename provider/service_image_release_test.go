package provider

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// releaseServer serves the release files of the releases, and counts what it is asked.
func releaseServer(t *testing.T, releases ...string) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for _, release := range releases {
			if strings.HasSuffix(r.URL.Path, "/dists/"+release+"/InRelease") {
				_, _ = w.Write([]byte("Codename: " + release + "\nArchitectures: amd64 " + hostArchitecture() + "\nComponents: main\n"))
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/debian", asked
}

func TestPlanRelease(t *testing.T) {
	t.Parallel()
	has, asked := releaseServer(t, "rel")
	const silent = "http://127.0.0.1:1/debian"
	model := func(release, mirror string) *testbedImageModel {
		return &testbedImageModel{
			Release: types.StringValue(release), Architecture: types.StringValue("amd64"), Mirror: textOrNull(mirror),
			RefreshEvery: types.StringValue("24h"),
		}
	}
	unknown := model("rel", "")
	unknown.Mirror = types.StringUnknown()
	secret := model("nosuch", strings.Replace(has, "//", "//joe:S3KRIT@", 1))
	cache := func(age time.Duration) *testbedImageModel {
		m, folder := model("nosuch", has), t.TempDir()
		m.Cache = types.StringValue(folder)
		writeImage(t, folder, "nosuch-amd64", time.Now().Add(-age))
		return m
	}
	for name, tc := range map[string]struct {
		plan, state *testbedImageModel
		at          string // attribute of the diagnostic; empty for none
		severity    diag.Severity
		says        []string
	}{
		"there":              {plan: model("rel", has)},
		"not there":          {model("nosuch", has), nil, "release", diag.SeverityError, []string{"nosuch", has, "Correct the name", "mirror"}},
		"nobody answers":     {model("rel", silent), nil, "release", diag.SeverityWarning, []string{"rel", silent, "asks again"}},
		"not known yet":      {plan: unknown},
		"nothing changes":    {plan: model("nosuch", has), state: model("nosuch", has)},
		"replaced":           {plan: model("nosuch", has), state: model("rel", has)}, // the creation is planned, too
		"to where it is not": {model("nosuch", has), model("nosuch", silent), "mirror", diag.SeverityError, []string{"nosuch", has}},
		"to who is silent":   {model("rel", silent), model("rel", has), "mirror", diag.SeverityWarning, []string{silent, "stays in use"}},
		"in the cache":       {plan: cache(time.Hour)},
		"with a password":    {secret, nil, "release", diag.SeverityError, []string{"joe:xxxxx@"}},
		"too old there":      {cache(25 * time.Hour), nil, "release", diag.SeverityError, []string{"nosuch"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diags diag.Diagnostics
			planRelease(t.Context(), &planning[testbedImageModel]{settings: &settings{}, model: tc.plan, state: tc.state, diags: &diags})
			if tc.at == "" {
				if len(diags) > 0 {
					t.Errorf("got %v", diags)
				}
				return
			}
			if len(diags) != 1 || diags[0].Severity() != tc.severity {
				t.Fatalf("got %v, want one %s", diags, tc.severity)
			}
			if where, ok := diags[0].(diag.DiagnosticWithPath); !ok || !where.Path().Equal(path.Root(tc.at)) {
				t.Errorf("%v is not at %s", diags[0], tc.at)
			}
			text := diags[0].Summary() + "\n" + diags[0].Detail()
			for _, word := range tc.says {
				if !strings.Contains(text, word) {
					t.Errorf("%q does not say %q", text, word)
				}
			}
			if strings.Contains(text, "S3KRIT") {
				t.Errorf("%q shows the password", text)
			}
		})
	}
	t.Cleanup(func() { // when the subtests are done
		if asked.Load() == 0 {
			t.Error("nobody was asked")
		}
	})
}

// writeImage puts an image that has passed its canary into a folder.
func writeImage(t *testing.T, folder, stem string, built time.Time) {
	t.Helper()
	info, err := json.Marshal(testbed.ImageInfo{Phase: testbed.PhaseReady, Canary: testbed.CanaryPassed, Built: built})
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(folder, stem+testbed.ImageSuffix)
	for path, content := range map[string][]byte{image: nil, testbed.InfoPath(image): info} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
