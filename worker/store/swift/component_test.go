//go:build component

package swift_test

import (
	"os"
	"strings"
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

func TestRealSwiftAsReader(t *testing.T) {
	t.Parallel()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT_READER")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT_READER is not set: component tests need a second user of a real Swift, run them with `make test`")
	}
	reader, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(reader.Username, ":")
	storetest.RunReader(t,
		func(t *testing.T) store.Store { return swift.New(account(t)) },
		func(*testing.T) store.Store { return swift.New(reader) }, name)
}

func TestRealSwiftAnonymously(t *testing.T) {
	t.Parallel()
	credentials := account(t)
	storetest.RunAnonymous(t,
		func(*testing.T) store.Store { return swift.New(credentials) },
		func(*testing.T) store.Store { return swift.Anonymous(credentials.StorageURL) })
}
