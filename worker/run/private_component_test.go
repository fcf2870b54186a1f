//go:build component

package run

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// A private request's result can be read by the user that it names and by nobody else. A later request that names another one
// for the same container does not take that away.
func TestPrivateRun(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	reader, name := c.reader(t)
	anonymous := swift.Anonymous(c.account.StorageURL)
	w := c.work(t, newStub(t), c.workerAccount(t), c.store, 1)
	container := result.Container(c.queue.Release, nil, true)
	for _, step := range []struct{ pkg, user string }{{"green", name}, {"blue", "somebody-else"}} {
		c.request(t, privateBody(step.pkg, step.user))
		queuetest.Eventually(t, "the result is there", func() bool {
			found, err := tars(t, c, c.store, step.pkg)
			return err == nil && len(found) == 1
		})
		c.drained(t, w)
		found, err := tars(t, c, reader, "green")
		if err != nil || len(found) != 1 {
			t.Fatalf("after the request for %s, its reader sees %v, error %v, want one result", step.user, found, err)
		}
		body, _, err := reader.Get(t.Context(), container, strings.TrimSuffix(found[0], result.TarObject)+result.ReadableObject)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(content) != "joe\na-team\n" {
			t.Errorf("%s: %q, error %v", result.ReadableObject, content, err)
		}
		if found, err := tars(t, c, anonymous, "green"); !errors.Is(err, store.ErrDenied) {
			t.Errorf("without an account one sees %v, error %v, want ErrDenied", found, err)
		}
	}
}

// Whoever comes second, here the user who can be tried, does not see what is there already.
func TestPrivateRunOfAnother(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, name := c.reader(t)
	w := c.work(t, newStub(t), c.workerAccount(t), c.store, 1)
	container := result.Container(c.queue.Release, nil, true)
	for _, step := range []struct{ pkg, user string }{{"green", "somebody-else"}, {"blue", name}} {
		c.request(t, privateBody(step.pkg, step.user))
		queuetest.Eventually(t, "the result is there", func() bool {
			found, err := tars(t, c, c.store, step.pkg)
			return err == nil && len(found) == 1
		})
		c.drained(t, w)
		if _, err := account.List(t.Context(), container, store.Query{}); !errors.Is(err, store.ErrDenied) {
			t.Errorf("after the request for %s: error %v, want ErrDenied", step.user, err)
		}
	}
}

// reader is a user of the store's without rights of his own.
func (c *cloud) reader(t *testing.T) (as store.Store, name string) {
	t.Helper()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT_READER")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT_READER is not set: this test needs a second user of a real store, `make test` makes one")
	}
	account, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ = strings.Cut(account.Username, ":")
	return swift.New(account), name
}

func privateBody(pkg, user string) string {
	return pkg + "\n" + `{"triggers": ["green/1"], "swiftuser": "` + user + `", "readable-by": ["joe", "a-team"]}`
}

// tars lists a package's private results as somebody sees them.
func tars(t *testing.T, c *cloud, as store.Store, pkg string) (names []string, err error) {
	t.Helper()
	container := result.Container(c.queue.Release, nil, true)
	for entry, err := range store.Walk(t.Context(), as, container, result.PackagePrefix(c.queue.Release, "amd64", pkg), "", "") {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(entry.Name, "/"+result.TarObject) {
			names = append(names, entry.Name)
		}
	}
	return names, nil
}
