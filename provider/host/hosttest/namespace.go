package hosttest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ownNamespace marks a process that has one.
const ownNamespace = "AUTOPKGTEST_TEST_OWN_NAMESPACE"

// A Namespace is what a test may have for itself.
type Namespace struct {
	flag, capability uintptr
	what             string
}

// Mounts and Network are for tests that would be in everybody's way: of the first nobody else sees what is mounted, the second has
// nothing but loopback, which is down.
var (
	Mounts  = Namespace{unix.CLONE_NEWNS, unix.CAP_SYS_ADMIN, "mounts"}
	Network = Namespace{unix.CLONE_NEWNET, unix.CAP_NET_ADMIN, "a network"}
)

// Alone runs a test once more in a process with a namespace of its own, and says whether this is that process. A plain user gets
// the right to change it in a user namespace, in which it still is who it was. However the process ends, the namespace ends with
// it.
func Alone(t *testing.T, n Namespace) bool {
	t.Helper()
	if os.Getenv(ownNamespace) != "" {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), ownNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: n.flag}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Unshareflags: n.flag | unix.CLONE_NEWUSER,
			UidMappings:  []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
			GidMappings:  []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
			AmbientCaps:  []uintptr{n.capability},
		}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in a process with %s of its own:\n%s", n.what, out)
	if err != nil {
		t.Errorf("%v; for %s of its own, root needs CAP_SYS_ADMIN, and others need user namespaces", err, n.what)
	}
	return false
}
