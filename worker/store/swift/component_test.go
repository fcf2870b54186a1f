//go:build component

package swift_test

import (
	"os"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/storetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// account reads the credentials of the real store that component tests run against.
func account(t *testing.T) config.Store {
	t.Helper()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT is not set: component tests need a real Swift, run them with `make test`")
	}
	credentials, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	return credentials
}

func TestRealSwift(t *testing.T) {
	t.Parallel()
	s := swift.New(account(t))
	storetest.Run(t, func(*testing.T) store.Store { return s })
}

func TestRealSwiftAnonymously(t *testing.T) {
	t.Parallel()
	credentials := account(t)
	storetest.RunAnonymous(t,
		func(*testing.T) store.Store { return swift.New(credentials) },
		func(*testing.T) store.Store { return swift.Anonymous(credentials.StorageURL) })
}
