package testbedtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// imagesVariable is set by `make test`.
const imagesVariable = "AUTOPKGTEST_TEST_IMAGES"

// Images is the folder in which images are kept between tests. Without one the test fails: a skipped test proves nothing.
func Images(t testing.TB) string {
	t.Helper()
	folder := os.Getenv(imagesVariable)
	if folder == "" {
		t.Fatalf("%s is not set: it is the folder in which images are kept between tests; `make test` sets it", imagesVariable)
	}
	return folder
}

// ThisMachine is the queue of this machine's own release and architecture, for which there is a mirror.
func ThisMachine(t testing.TB) request.Queue {
	t.Helper()
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	architecture, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		t.Fatal(err)
	}
	queue := request.Queue{Architecture: strings.TrimSpace(string(architecture))}
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); found {
			queue.Release = strings.Trim(name, `"`)
		}
	}
	if queue.Release == "" {
		t.Fatal("/etc/os-release names no VERSION_CODENAME: which release is this machine of?")
	}
	return queue
}
