//go:build machine

package machinetest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machinetest"
)

func TestMachine(t *testing.T) {
	m := machinetest.Start(t)
	if out := m.Run("cat", "/proc/1/comm"); out != "systemd\n" {
		t.Errorf("the first process is %q", out)
	}
	ssh := func(command string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "ssh", "-i", m.Key(), "-o", "UserKnownHostsFile="+m.KnownHosts(),
			"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "root@"+m.Address(), command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if out := ssh("id -un; echo kept >/root/note"); out != "root" {
		t.Errorf("by ssh: %q", out)
	}
	m.Reboot()
	if out := ssh("cat /root/note"); out != "kept" {
		t.Errorf("after a reboot: %q", out)
	}
}
