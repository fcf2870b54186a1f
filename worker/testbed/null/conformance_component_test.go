//go:build component

package null_test

import (
	"testing"

	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/null"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestMain(m *testing.M) { testbedtest.Main(m) }

// TestConformance runs tests on this machine, as an account without privileges: nothing is installed on it.
func TestConformance(t *testing.T) {
	testbedtest.Run(t, testbedtest.Subject{Backend: "null", Queue: testbedtest.ThisMachine(t), Exposed: true})
}
