package directory_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/storetest"
)

func open(t *testing.T, path string) *directory.Store {
	t.Helper()
	s, err := directory.New(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}
