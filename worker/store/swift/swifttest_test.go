package swift_test

import (
	"testing"

	"github.com/ncw/swift/v2/swifttest"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/storetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

func TestInMemorySwift(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		server, err := swifttest.NewSwiftServer("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		return swift.New(config.Store{
			AuthURL: server.AuthURL, Username: swifttest.TEST_ACCOUNT, Password: config.Secret(swifttest.TEST_ACCOUNT),
		})
	})
}
