//go:build component && !slow

package image

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestMain(m *testing.M) { testbedtest.Main(m) }
