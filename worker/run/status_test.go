package run

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestStatusMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			output(job.OutputDir, map[string]string{"log": "one\n"})
			sleep(ctx, 25*time.Second)
			return testbed.Outcome{Duration: 25 * time.Second}, nil
		})
		b.lived(t, body("green"))
		var got []queue.Status
		for i, s := range b.session.statuses(t) {
			if i > 0 && s.LogTail != "one\n"+tailMark { // the first is sent while the test begins
				t.Errorf("message %d: log %q", i, s.LogTail)
			}
			s.LogTail = ""
			got = append(got, s)
		}
		handles := map[string]bool{}
		for _, m := range b.session.wholes(queue.StatusExchange) {
			handles[m.Headers[queue.HandleHeader]] = lease.Handle.MatchString(m.Headers[queue.HandleHeader])
			if m.Headers[queue.WorkerHeader] != b.state.worker {
				t.Errorf("headers %v, want those of worker %s", m.Headers, b.state.worker)
			}
		}
		if len(handles) != 1 || handles[""] {
			t.Errorf("handles of one run: %v", handles)
		}
		params := []byte(`{"triggers":["green/1:2-3"],"submit-time":"2026-11-22 01:21:27"}`)
		want := []queue.Status{}
		for i, at := range []int64{0, 10, 20, 25} {
			want = append(want, queue.Status{
				Release: "noble", Architecture: "amd64", Package: "green", Running: i < 3, Params: params, Duration: at,
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status messages (-want +got):\n%s", diff)
		}
	})
}

// While there is no session, nothing is sent and nothing waits.
func TestStatusWithoutSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		b.broker.withdraw(b.session)
		time.AfterFunc(2*time.Minute, func() { b.broker.lend(b.session) })
		b.lived(t, body("green"))
		statuses := b.session.statuses(t)
		if len(statuses) == 0 || statuses[0].Duration < 120 || statuses[len(statuses)-1].Running {
			t.Errorf("status messages: %+v", statuses)
		}
	})
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	five := "1\n2\n3\n4\n5\n"
	long := strings.Repeat("0123456789\n", 1000)
	for name, test := range map[string]struct{ log, want string }{
		"empty":               {"", tailMark},
		"three lines":         {"1\n2\n3\n", "1\n2\n3\n" + tailMark},
		"no end of line":      {"1\n2", "1\n2" + tailMark},
		"six lines":           {five + "6\n", five + tailMark + "6\n"},
		"one byte below 2000": {five + strings.Repeat("x", 1988) + "\n", five + tailMark + strings.Repeat("x", 1988) + "\n"},
		"long":                {five + long, five + tailMark + strings.Repeat("0123456789\n", 181)},
		"one long line":       {strings.Repeat("y", 10000), strings.Repeat("y", longestHead) + tailMark + strings.Repeat("y", tailBytes)},
		"not text":            {"\xff\xfe\n", "\uFFFD\n" + tailMark},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.log), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, logTail(path)); diff != "" {
				t.Errorf("log tail (-want +got):\n%s", diff)
			}
		})
	}
	for name, path := range map[string]string{"missing": "no", "a folder": "."} {
		if got := logTail(filepath.Join(t.TempDir(), path)); got != tailMark {
			t.Errorf("%s: %q", name, got)
		}
	}
	link := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if got := logTail(link); strings.Contains(got, "root:") {
		t.Errorf("a link is followed: %q", got)
	}
}
