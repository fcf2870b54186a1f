package testbedtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The stages of a program on the other machine: before and after its network is there.
const (
	machineVariable = "AUTOPKGTEST_TEST_MACHINE"
	machineEmpty    = "empty"
	machineReady    = "ready"
)

// The addresses of the other machine's bridge are its own. Those that it only answers to, without having them, are as good as
// other machines': of a private network, of a cloud's metadata service, and public ones.
const machineScript = `link set lo up
link add other0 type bridge
link set other0 up
address add 10.77.0.1/24 dev other0
address add 192.168.77.1/24 dev other0
address add 198.51.100.77/24 dev other0
address add fd77::1/64 dev other0 nodad
address add 2001:db8:77::1/64 dev other0 nodad
route add local 10.88.0.0/24 dev lo
route add local 172.21.0.0/16 dev lo
route add local 192.168.88.0/24 dev lo
route add local 100.64.88.0/24 dev lo
route add local 198.18.88.0/24 dev lo
route add local 169.254.169.254 dev lo
route add local 168.63.129.16 dev lo
route add local 203.0.113.200 dev lo
route add local fd88::/64 dev lo
route add local fd00:ec2::254 dev lo
route add local 64:ff9b::/96 dev lo
route add local 2002:a58::/32 dev lo
route add local 2001:db8:88::/64 dev lo
`

// The other machine forwards packets, if root makes it.
var machineSettings = []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"}

// IsOtherMachine says whether this program is where OnOtherMachine runs tests.
func IsOtherMachine() bool { return os.Getenv(machineVariable) == machineReady }

// OnOtherMachine runs the calling test once more, in a network of its own with addresses of every kind, and returns false when
// that is over; in there it returns true. The account makes it without privileges; the way out is slirp4netns.
func OnOtherMachine(t *testing.T) bool {
	t.Helper()
	if IsOtherMachine() {
		return true
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	limit := 30 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline)
	}
	program := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout="+limit.String())
	program.Env = append(os.Environ(), machineVariable+"="+machineEmpty)
	program.Stdin = out
	var said bytes.Buffer
	program.Stdout, program.Stderr = io.MultiWriter(&said, t.Output()), t.Output()
	program.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		program.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		// The last two are for newuidmap, whose owner is nobody in there: what a run asks of it needs them.
		program.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = program.Start()
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	stop, err := connect(program.Process.Pid)
	if err == nil {
		defer stop()
		_, err = in.WriteString("1")
	}
	if err != nil {
		_ = program.Process.Kill()
		<-ended
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !strings.Contains(said.String(), "--- PASS: "+t.Name()) {
		t.Errorf("on the other machine: %v", err)
	}
	return false
}

// connect gives a new process its ids, if it has a user namespace, and its way out.
func connect(pid int) (stop func(), err error) {
	args := []string{"--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd=3", "--exit-fd=4"}
	if os.Geteuid() != 0 {
		if err := mapIdentically(pid); err != nil {
			return nil, err
		}
		args = append(args, "--userns-path=/proc/"+strconv.Itoa(pid)+"/ns/user")
	}
	readyOut, readyIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readyOut.Close()
	exitOut, exitIn, err := os.Pipe()
	if err != nil {
		readyIn.Close()
		return nil, err
	}
	slirp := exec.Command("slirp4netns", append(args, strconv.Itoa(pid), "tap0")...)
	var said bytes.Buffer
	slirp.Stdout, slirp.Stderr = &said, &said
	slirp.ExtraFiles = []*os.File{readyIn, exitOut}
	err = slirp.Start()
	readyIn.Close()
	exitOut.Close()
	if err != nil {
		exitIn.Close()
		return nil, err
	}
	stop = func() {
		exitIn.Close()
		_ = slirp.Wait()
	}
	_ = readyOut.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := readyOut.Read(make([]byte, 1)); err != nil {
		stop()
		return nil, fmt.Errorf("slirp4netns: %w: %s", err, said.String())
	}
	return stop, nil
}

// mapIdentically makes the account and its subordinate ids the same numbers in a process's user namespace.
func mapIdentically(pid int) error {
	for helper, own := range map[string]int{"newuidmap": os.Getuid(), "newgidmap": os.Getgid()} {
		file := map[string]string{"newuidmap": "/etc/subuid", "newgidmap": "/etc/subgid"}[helper]
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		args := []string{strconv.Itoa(pid), strconv.Itoa(own), strconv.Itoa(own), "1"}
		account, err := user.Current()
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) == 3 && (fields[0] == account.Username || fields[0] == account.Uid) {
				args = append(args, fields[1], fields[1], fields[2])
			}
		}
		if out, err := exec.Command(helper, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", helper, err, out)
		}
	}
	return nil
}

// otherMachine does not return in a program that OnOtherMachine has started until its network is there.
func otherMachine() error {
	if os.Getenv(machineVariable) != machineEmpty {
		return nil
	}
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the other machine's network: %w", err)
	}
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(machineScript)
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("make the other machine's network: ip: %w: %s", err, out)
	}
	for _, setting := range machineSettings {
		if err := os.WriteFile(setting, []byte("1"), 0); err != nil && os.Geteuid() == 0 {
			return fmt.Errorf("make the other machine's network: %w", err)
		}
	}
	// The rights over the network end here.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_LOWER, unix.CAP_NET_ADMIN, 0, 0); err != nil && os.Geteuid() != 0 {
		return err
	}
	if err := os.Setenv(machineVariable, machineReady); err != nil {
		return err
	}
	return errors.Join(errors.New("start the tests on the other machine"), unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}
