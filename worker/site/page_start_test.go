package site

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// A worker that is busy listens to no queue: it must not look like one that is missing.
func TestBusyWorkersAreNotMissing(t *testing.T) {
	t.Parallel()
	table := queueTableOf([]Depth{
		depth(request.Normal, "noble", "amd64", 3, 0), depth(request.Huge, "noble", "amd64", 0, 0),
		depth(request.Normal, "noble", "arm64", 3, 0), depth(request.Normal, "noble", "s390x", 0, 1),
	})
	table.busy("noble", "amd64")
	table.busy("jammy", "amd64")
	idle := map[string]bool{"amd64": false, "arm64": true, "s390x": false}
	if len(table.Rows) != len(idle) {
		t.Fatalf("rows: %+v", table.Rows)
	}
	for _, row := range table.Rows {
		if row.Idle != idle[row.Arch] {
			t.Errorf("%s: without a worker: %t, want %t", row.Arch, row.Idle, idle[row.Arch])
		}
	}
}
