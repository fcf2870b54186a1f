//go:build openstack

package nova

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// timeline is what was asked of a cloud, and when.
type timeline struct {
	mu   sync.Mutex
	seen []asked
}

type asked struct {
	openstack.Request
	begin, end time.Time
}

func (l *timeline) observe(_ context.Context, r openstack.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := time.Now()
	l.seen = append(l.seen, asked{r, end.Add(-r.Took), end})
}

// parts are what the cloud's services took, in which some request was under way or a server was seen to be not ready yet, and within
// that what the last pauses before good news took: news may be as old.
func (l *timeline) parts() (cloud, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var covered time.Time
	for i, a := range l.seen {
		from := a.begin
		if from.Before(covered) {
			from = covered
		}
		if a.end.After(from) {
			cloud += a.end.Sub(from)
			covered = a.end
		}
		looks := func(of asked) bool { return of.Method == "GET" && strings.Contains(of.URL, "/servers/") }
		if i == 0 || !looks(a) || !looks(l.seen[i-1]) || strings.HasSuffix(a.URL, "/detail") {
			continue
		}
		pause := a.begin.Sub(l.seen[i-1].end)
		cloud += pause
		if i+1 == len(l.seen) || !looks(l.seen[i+1]) || strings.HasSuffix(l.seen[i+1].URL, "/detail") {
			late += pause
		}
	}
	return cloud, late
}

// BenchmarkOpenToCleanup tells what is added to Nova's and the other services' time: own-ms is certain, late-ms the most that news of
// a server's state may have been late. The login of each call and the looks for image, flavor and network are cloud-ms.
func BenchmarkOpenToCleanup(b *testing.B) {
	p := newProject(b, openstacktest.Lcy01, 3, nil)
	sshd := startLocalSSHD(b)
	var own, late, all time.Duration
	for b.Loop() {
		furniture, err := (backend{newRegions()}).Furnish(of("bench", "", words(sshd, "m1.tiny", p.rc)))
		if err != nil {
			b.Fatal(err)
		}
		folder := b.TempDir()
		var times timeline
		begin := time.Now()
		for _, verb := range []func(Setup) error{
			func(s Setup) error { return s.Open(b.Context()) }, func(s Setup) error { return s.Cleanup(b.Context()) },
		} {
			s := setup(b, furniture, folder, &openstack.Sessions{Observe: times.observe}) // each call is a process of its own
			s.Reach = sshd.reach
			if err := verb(s); err != nil {
				b.Fatal(err)
			}
		}
		total := time.Since(begin)
		cloud, lately := times.parts()
		own, late, all = own+total-cloud, late+lately, all+total
	}
	count := float64(b.N)
	b.ReportMetric(own.Seconds()*1000/count, "own-ms/op")
	b.ReportMetric(late.Seconds()*1000/count, "late-ms/op")
	b.ReportMetric((all-own).Seconds()*1000/count, "cloud-ms/op")
}
