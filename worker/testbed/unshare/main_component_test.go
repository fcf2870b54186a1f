//go:build component

package unshare_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestMain(m *testing.M) { testbedtest.Main(m) }
