package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

func TestTable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var got strings.Builder
	err := table(&got, map[string]host.Inspection{
		"swift": {Processes: map[string]host.Status{
			"swift-proxy":  {Up: true, PID: 4711, Since: now.Add(-90 * time.Second)},
			"swift-object": {Since: now.Add(-time.Second)},
		}, Problem: "process swift-object is down", Problems: []string{"process swift-object is down"}},
		"rabbitmq": {Processes: map[string]host.Status{"rabbitmq": {Up: true, PID: 12, Since: now.Add(-time.Hour)}}},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := `SERVICE   PROCESS       STATE  PID   SINCE
rabbitmq  rabbitmq      up     12    1h0m0s
swift     swift-object  down   -     1s
swift     swift-proxy   up     4711  1m30s
swift: process swift-object is down
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestReadMark(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content string // of stack.json; none if empty
		want    string
		fails   bool
	}{
		"a stack":       {`{"project":"autopkgtest-cloud","stack":"local"}`, "local", false},
		"no stack":      {"", "", true},
		"not our JSON":  {"[]", "", true},
		"not even JSON": {"stack", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if test.content != "" {
				if err := os.WriteFile(filepath.Join(folder, "stack.json"), []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readMark(folder)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("readMark = %q, %v", got, err)
			}
			if absent := errors.Is(err, host.ErrAbsent); absent != (test.content == "") {
				t.Errorf("error = %v is ErrAbsent: %v", err, absent)
			}
		})
	}
}
