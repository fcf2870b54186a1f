//go:build openstack

package nova

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

// TestVirtServer has autopkgtest's own ssh server call the script, as it does in a run: open, revert, close.
func TestVirtServer(t *testing.T) {
	p := newProject(t, 1)
	sshd := startLocalSSHD(t)
	furniture, err := (backend{newRegions()}).Furnish(of("w", "run", words(sshd, "m1.tiny", p.rc)))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	plan := filepath.Join(folder, "plan.json")
	writePlan(t, furniture, plan)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(programPath, program, planPath, plan).Replace(furniture.Files[scriptPath])
	programtest.Write(t, filepath.Join(folder, "script"), script)
	server := exec.Command("autopkgtest-virt-ssh", "-s", filepath.Join(folder, "script"))
	server.Env = append(os.Environ(), sshdVariable+"="+strconv.Itoa(sshd.port))
	server.Stderr = t.Output()
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	answers := bufio.NewScanner(out)
	say := func(command string) string {
		t.Helper()
		if command != "" {
			fmt.Fprintln(in, command)
		}
		if !answers.Scan() || !strings.HasPrefix(answers.Text(), "ok") {
			t.Fatalf("%s: %q", command, answers.Text())
		}
		return answers.Text()
	}
	say("")
	say("open")
	found := say("capabilities")
	for _, want := range capabilities {
		if !strings.Contains(found, string(want)) {
			t.Errorf("%s: without %s", found, want)
		}
	}
	first := p.servers(t)
	say("revert")
	if second := p.servers(t); len(first) != 1 || len(second) != 1 || first[0].ID != second[0].ID {
		t.Errorf("servers before and after: %d, %d", len(first), len(second))
	}
	say("close")
	p.await(t, 0)
	fmt.Fprintln(in, "quit")
	_ = in.Close()
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
	if said, err := (account{folder}).read(); err != nil || !said.Opened || said.Failure != nil {
		t.Errorf("the account: %+v, %v", said, err)
	}
}
