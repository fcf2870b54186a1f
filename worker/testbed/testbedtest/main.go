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
		os.Exit(exitCode(0, err))
	}
	if os.Geteuid() == 0 {
		os.Exit(exitCode(runAsAccount(os.Args[1:]...)))
	}
	victim()
	os.Exit(m.Run())
}

// MainRoot is the TestMain of packages whose backend must be root of this machine: another account asks sudo, which must
// not need a password.
func MainRoot(m *testing.M) {
	testbed.InsideMain()
	if err := otherMachine(); err != nil {
		os.Exit(exitCode(0, err))
	}
	if os.Geteuid() != 0 && os.Getenv(stayVariable) == "" {
		os.Exit(exitCode(runAsRoot()))
	}
	victim()
	os.Exit(m.Run())
}

// stayVariable keeps a program what it was started as.
const stayVariable = "AUTOPKGTEST_TESTBEDTEST_STAY"

// AsAccount runs one of root's tests as the account without privileges: what makes an image, say, which root may not.
func AsAccount(t testing.TB, test string) {
	t.Helper()
	t.Setenv(stayVariable, "1")
	code, err := runAsAccount("-test.run=^"+test+"$", "-test.v", "-test.timeout=30m")
	if err != nil || code != 0 {
		t.Fatalf("%s ended with %d, error %v", test, code, err)
	}
}

func exitCode(code int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func runAsAccount(args ...string) (int, error) {
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
		if err := errors.Join(os.MkdirAll(images, 0o755), giveAll(images, account)); err != nil {
			return 0, err
		}
	}
	binary := filepath.Join(folder, "test")
	if err := errors.Join(copyProgram(binary), os.Chown(folder, account.UID, account.GID)); err != nil {
		return 0, err
	}
	command := exec.Command(binary, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "HOME="+account.Home, "TMPDIR="+folder, "USER="+account.Name)
	return finish(command, account.Credential())
}

// giveAll gives a folder of images to the account, with those that a test has left that ran as root.
func giveAll(folder string, account Account) error {
	return filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, account.UID, account.GID)
	})
}

func runAsRoot() (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if out, err := exec.Command("sudo", "-n", "true").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("the tools of this backend must be root: run its tests as root, or let sudo work without a password: "+
			"%w: %s", err, out)
	}
	keep := "--preserve-env=" + imagesVariable + "," + accountVariable
	return finish(exec.Command("sudo", append([]string{"-n", keep, program}, os.Args[1:]...)...), nil)
}

func finish(command *exec.Cmd, as *syscall.Credential) (int, error) {
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// When go test runs out of time it kills this process alone. The signal comes from the end of a thread: keep it.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	err := command.Run()
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
