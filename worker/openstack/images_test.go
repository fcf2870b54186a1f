package openstack

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

func TestNewestOf(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	published := func(at string) map[string]any { return map[string]any{timeProperty: at} }
	all := []images.Image{
		{ID: "1", Name: "ubuntu/ubuntu-noble-24.04-amd64-server-1", Status: "active", CreatedAt: day(1)},
		{ID: "2", Name: "ubuntu/ubuntu-noble-24.04-amd64-server-2", Status: "active", CreatedAt: day(2)},
		{ID: "3", Name: "ubuntu/ubuntu-noble-24.04-amd64-server-3", Status: "queued", CreatedAt: day(3)},
		{ID: "4", Name: "old/ubuntu/ubuntu-noble-24.04-amd64-server-9", Status: "active", CreatedAt: day(9)},
		{ID: "5", Name: "testbed (new)", Status: "active", CreatedAt: day(1)},
		{ID: "6", Name: "half", Status: "saving", CreatedAt: day(1)},
		{ID: "7", Name: "same second-1", Status: "active", CreatedAt: day(7), Properties: published("2026-11-07T00:00:01.25Z")},
		{ID: "8", Name: "same second-2", Status: "active", CreatedAt: day(7), Properties: published("2026-11-07T00:00:01.5Z")},
		{ID: "9", Name: "same second-3", Status: "active", CreatedAt: day(7)},
	}
	for pattern, want := range map[string]string{
		"ubuntu/ubuntu-noble-.*-amd64-server": "2", // the begin of the name, the newest that is active
		"3":                                   "",  // an id of one that is not
		"1":                                   "1",
		"testbed (new)":                       "5", // a name is no expression
		"old/":                                "4",
		"xenial|half":                         "",
		"same second":                         "8", // published later
	} {
		got, err := testRegion().newestOf(all, pattern)
		if got.ID != want || (err == nil) != (want != "") {
			t.Errorf("%s: image %q, %v", pattern, got.ID, err)
		}
		if err != nil && (!errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are ")) {
			t.Errorf("%s: «%v» does not say what there is", pattern, err)
		}
	}
	if CheckImagePattern("a(") == nil {
		t.Error("a( is an expression")
	}
}
