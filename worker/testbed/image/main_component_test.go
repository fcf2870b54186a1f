//go:build component

package image

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestMain runs the tests as an account without privileges: root gives them to AUTOPKGTEST_TEST_ACCOUNT.
func TestMain(m *testing.M) {
	testbed.InsideMain()
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	code, err := runAsAccount()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAsAccount() (int, error) {
	name := os.Getenv("AUTOPKGTEST_TEST_ACCOUNT")
	if name == "" {
		name = "autopkgtest-cloud"
	}
	account, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("tests of testbeds run without privileges: %w; `make setup` makes the account", err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	folder, err := os.MkdirTemp("", "testbed-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	if images := os.Getenv("AUTOPKGTEST_TEST_IMAGES"); images != "" {
		if err := os.MkdirAll(images, 0o755); err != nil {
			return 0, err
		}
		if err := os.Chown(images, uid, gid); err != nil {
			return 0, err
		}
	}
	binary := filepath.Join(folder, "test")
	if err := copyProgram(binary); err != nil {
		return 0, err
	}
	if err := os.Chown(folder, uid, gid); err != nil {
		return 0, err
	}
	command := exec.Command(binary, os.Args[1:]...)
	command.Dir = folder
	command.Env = append(os.Environ(), "HOME="+account.HomeDir, "TMPDIR="+folder, "USER="+name)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// When go test runs out of time it kills this process alone. The signal comes from the end of a thread: keep it.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
		Pdeathsig: syscall.SIGKILL}
	err = command.Run()
	if command.ProcessState == nil {
		return 0, err
	}
	return command.ProcessState.ExitCode(), nil
}

// copyProgram puts this program where the account can start it: the folder in which go test builds is closed to others.
func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, from); err != nil {
		return err
	}
	return out.Close()
}
