// Package testbedtest is what tests with real testbeds need: an account without privileges, this machine's own release, and
// the folder in which images are kept between tests.
//
// It builds no image and starts no testbed. Tests with the tag "component" use it; they are run by `make test`. Start
// reading at Main.
package testbedtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Main is the TestMain of a package that starts testbeds, and does not return. Its tests run as an account without
// privileges: root starts them once more, as the test account.
func Main(m *testing.M) {
	testbed.InsideMain()
	if err := otherMachine(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
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
	account, err := FindAccount()
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "testbed-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	if images := os.Getenv(imagesVariable); images != "" {
		if err := errors.Join(os.MkdirAll(images, 0o755), os.Chown(images, account.UID, account.GID)); err != nil {
			return 0, err
		}
	}
	binary := filepath.Join(folder, "test")
	if err := errors.Join(copyProgram(binary), os.Chown(folder, account.UID, account.GID)); err != nil {
		return 0, err
	}
	command := exec.Command(binary, os.Args[1:]...)
	command.Dir = folder
	command.Env = append(os.Environ(), "HOME="+account.Home, "TMPDIR="+folder, "USER="+account.Name)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// When go test runs out of time it kills this process alone. The signal comes from the end of a thread: keep it.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: account.Credential(), Pdeathsig: syscall.SIGKILL}
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
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}
