package testbed

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// What is logged of a run says of which request it is; what is no request, such as a canary, has no run.
func TestLogOfAJob(t *testing.T) {
	t.Parallel()
	for handle, want := range map[string]string{
		"20261122-012127-ab12cd34": "release=noble arch=amd64 package=green run=20261122-012127-ab12cd34\n",
		"":                         "release=noble arch=amd64 package=green\n",
	} {
		var out bytes.Buffer
		job := Job{Queue: noble, Request: request.Request{Package: "green"}, Handle: handle}
		job.logTo(slog.New(slog.NewTextHandler(&out, nil))).Info("x")
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("logged %s, want %s", out.String(), want)
		}
	}
}
