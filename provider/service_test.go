package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"checks":[{"id":"a","ok":true},{"id":"b","ok":false,"reason":"no broker"},` +
				`{"id":"c","ok":false,"reason":"no image"},{"id":"d","ok":false,"reason":"no canary yet","unproven":true}]}`))
		}
		if r.URL.Path == "/new/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"checks":[{"id":"d","ok":false,"reason":"no canary yet","unproven":true}]}`))
		}
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	if err := alive(ctx, address); err != nil {
		t.Errorf("it lives, and the check says %v", err)
	}
	if err := ready(address)(ctx); err == nil || err.Error() != "no broker; no image; no canary yet" {
		t.Errorf("got %v, want the reasons", err)
	}
	if err := readyToProve(address)(ctx); err == nil || err.Error() != "no broker; no image" {
		t.Errorf("got %v, want the reasons without canaries", err)
	}
	if err := readyToProve(address + "/new")(ctx); err != nil {
		t.Errorf("got %v of a worker whose first canaries run", err)
	}
	server.Close()
	if err := alive(ctx, address); err == nil {
		t.Error("it is gone, and the check says that it lives")
	}
}

func TestServiceFinding(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		found host.Inspection
		want  string
	}{
		"well":            {host.Inspection{Format: 1}, ""},
		"another version": {host.Inspection{Format: 7}, "put in place by another version"},
		"one problem":     {host.Inspection{Format: 1, Problem: "a is down", Problems: []string{"a is down"}}, "a is down"},
		"two problems": {host.Inspection{Format: 1, Problem: "a is down", Problems: []string{"a is down", "b is down"}},
			"a is down (and 1 more problem)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := serviceFinding(tc.found).Problem; !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestImageState(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		info    *testbed.ImageInfo
		there   bool
		waiting bool
		failed  bool
	}{
		"nothing yet":                   {waiting: true},
		"being built":                   {info: &testbed.ImageInfo{Phase: testbed.PhaseBuilding}, waiting: true},
		"failed":                        {info: &testbed.ImageInfo{Phase: testbed.PhaseFailed, Error: "no archive"}, failed: true},
		"stopped, and will be started":  {info: &testbed.ImageInfo{Phase: testbed.PhaseStopped, Error: "stopped"}, waiting: true},
		"ready":                         {info: &testbed.ImageInfo{Phase: testbed.PhaseReady, Canary: testbed.CanaryPassed}, there: true},
		"ready, and a later one failed": {info: &testbed.ImageInfo{Phase: testbed.PhaseFailed, Canary: testbed.CanaryPassed}, there: true},
		"described but removed":         {info: &testbed.ImageInfo{Phase: testbed.PhaseReady, Canary: testbed.CanaryPassed}, waiting: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := filepath.Join(t.TempDir(), "rel-amd64.tar.zst")
			if tc.there {
				if err := os.WriteFile(image, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.info != nil {
				text, err := json.Marshal(tc.info)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(testbed.InfoPath(image), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := imageState(image)
			if errors.Is(err, errNotBuilt) != tc.waiting || (err != nil) != (tc.waiting || tc.failed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// memoryMap is Terraform's private state for a test.
type memoryMap map[string][]byte

func (m memoryMap) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) {
	return m[key], nil
}

func (m memoryMap) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	m[key] = value
	return nil
}

func TestWarnOfLoss(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	lost := object(storeTypes, values{
		"auth_url": types.StringValue("a"), "storage_url": types.StringValue("s"), "credentials_file": types.StringValue("c"),
		"incarnation": types.StringNull(),
	})
	warn := func(m memoryMap, o types.Object) string {
		var diags diag.Diagnostics
		p := &planning[swiftServerModel]{memory: m, diags: &diags}
		p.warnOfLoss(ctx, o, "the store", "It begins anew.")
		if len(diags) == 0 {
			return ""
		}
		return diags[0].Summary() + ": " + diags[0].Detail()
	}
	known := memoryMap{}
	inventory{Things: []string{"the container b", "the container a"}}.remember(ctx, known)
	if got := warn(known, lost); !strings.Contains(got, "- the container a\n  - the container b") {
		t.Errorf("the warning does not list what lived there: %s", got)
	}
	if got := warn(memoryMap{}, lost); !strings.Contains(got, "is not known") {
		t.Errorf("nothing is remembered, and the warning says %s", got)
	}
	if got := warn(known, types.ObjectNull(storeTypes)); got != "" {
		t.Errorf("what was never finished lost nothing, and the warning says %s", got)
	}
}

func TestIncarnation(t *testing.T) {
	t.Parallel()
	there := object(storeTypes, values{
		"auth_url": types.StringValue("a"), "storage_url": types.StringValue("s"), "credentials_file": types.StringValue("c"),
		"incarnation": types.StringValue("one"),
	})
	gone := withoutIncarnation(there)
	if !hasIncarnation(there) || hasIncarnation(gone) || hasIncarnation(types.ObjectNull(storeTypes)) {
		t.Error("what is there and what is gone are confused")
	}
	if !gone.Attributes()["storage_url"].Equal(types.StringValue("s")) {
		t.Error("the address is lost with the data: outputs would fail")
	}
	if object := withoutIncarnation(types.ObjectNull(storeTypes)); !object.IsNull() {
		t.Errorf("got %s", object)
	}
}

func TestImageFolder(t *testing.T) {
	t.Parallel()
	if folder, err := imageFolder([]string{"/a/x.tar.zst", "/a/y.tar.zst"}); err != nil || folder != "/a" {
		t.Errorf("got %q, %v", folder, err)
	}
	if _, err := imageFolder([]string{"/a/x.tar.zst", "/b/y.tar.zst"}); err == nil {
		t.Error("two folders are no error")
	}
}
