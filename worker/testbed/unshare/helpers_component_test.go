//go:build component

package unshare_test

import (
	"bytes"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare"
)

// testImage returns the image of this machine's release.
func testImage(t *testing.T) (string, request.Queue) {
	t.Helper()
	return imagetest.Image(t, "")
}

func newRunner(t *testing.T) *testbed.Runner {
	t.Helper()
	runner, err := testbed.NewRunner(t.Context(), "unshare", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return runner
}

// newJob is a run of a source tree, or of the archive's package when there is none.
func newJob(t *testing.T, source string) testbed.Job {
	t.Helper()
	file, queue := testImage(t)
	work := t.TempDir()
	return testbed.Job{
		Request: request.Request{Package: "tiny", Triggers: []string{"tiny/1.0", "other/2"}}, Queue: queue, Source: source,
		Image: file, WorkDir: work, OutputDir: filepath.Join(work, "out"), Timeout: 10 * time.Minute,
	}
}

func readLog(t *testing.T, job testbed.Job) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(job.OutputDir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitLog waits until the log of a run holds a text.
func awaitLog(t *testing.T, job testbed.Job, text string) {
	t.Helper()
	testbedtest.Await(t, "the log to say "+text, func() bool {
		log, err := os.ReadFile(filepath.Join(job.OutputDir, "log"))
		return err == nil && bytes.Contains(log, []byte(text))
	})
}

// processes returns the command lines of all processes that have a word in their command line or their environment.
func processes(word string) []string {
	var found []string
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		if bytes.Contains(line, []byte(word)) || bytes.Contains(environment, []byte(word)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// describe returns the host name of the mirror that an image was built from.
func describe(file string) (string, error) {
	info, err := testbed.DescribeImage(file)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(info.Mirror)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}
