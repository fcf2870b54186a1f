//go:build machine

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machinetest"
)

// onMachineVariable is set where the tests of this file run on the machine that TestSystemd has started for them.
const onMachineVariable = "HOST_TEST_ON_MACHINE"

// TestSystemd runs the tests of this file on a machine that boots systemd: this very program, there.
func TestSystemd(t *testing.T) {
	if os.Getenv(onMachineVariable) != "" {
		t.Fatal("this is the machine already")
	}
	m := machinetest.Start(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/host.test"
	m.Copy(self, program)
	run := func(tests string) {
		t.Helper()
		out, err := m.Try("env", onMachineVariable+"=1", program, "-test.run", "^("+tests+")$", "-test.v")
		t.Log(out)
		if err != nil || !strings.Contains(out, "--- PASS: ") || strings.Contains(out, "--- SKIP") {
			t.Errorf("on the machine, %s: %v", tests, err)
		}
	}
	run("TestFurnish") // it makes the account
	run("TestUnit.*")
	run("TestBeforeBoot")
	m.Reboot()
	run("TestAfterBoot")
	if failed := m.Run("systemctl", "--failed", "--no-legend"); failed != "" {
		t.Errorf("failed units are left: %s", failed)
	}
}

// machinePath is where a system-wide stack lives by default.
const machinePath = "/var/lib/" + DefaultAccount + "/test"

// systemStack makes a system-wide stack with a toy service, and takes care that nothing of it is left.
func systemStack(t *testing.T, words map[string]string) (*Directory, Service) {
	t.Helper()
	if os.Getenv(onMachineVariable) == "" {
		t.Fatal("TestSystemd runs it, on a machine of its own: make test-machine")
	}
	t.Cleanup(func() {
		if err := Sweep(context.Background(), machinePath); err != nil {
			t.Error(err)
		}
		expectNoUnits(t)
	})
	return existingStack(t, words)
}

func existingStack(t *testing.T, words map[string]string) (*Directory, Service) {
	t.Helper()
	d, err := Create(t.Context(), Options{Path: machinePath, Stack: "test", Account: testAccount(t), System: true})
	if err != nil {
		t.Fatal(err)
	}
	return d, toy(t, d, words)
}

// expectNoUnits checks that nothing of any stack is left where systemd looks, or in its memory.
func expectNoUnits(t *testing.T) {
	t.Helper()
	for _, folder := range append(slices.Clone(overrideFolders), wantsFolder) {
		if left, err := filepath.Glob(filepath.Join(folder, unitPrefix+"*")); err != nil || len(left) > 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	}
	if out := tool(t, "systemctl", "list-units", "--all", "--no-legend", "autopkgtest-*"); out != "" {
		t.Errorf("systemd still knows of %s", out)
	}
}

func tool(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

func expectSame(t *testing.T, what string, want, got any) {
	t.Helper()
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("%s (-want +got):\n%s", what, difference)
	}
}

func TestUnitsRestartWhatChanged(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	s.Processes[1].Reads = []string{}
	expectSame(t, "new", Report{Created: true, Wrote: []string{"etc/toy.conf", "etc/secret.conf"}, Started: []string{"toy-a", "toy-b"}}, converge(t, d, s))
	healthy(t, d, s)
	expectSame(t, "again", Report{}, converge(t, d, s))
	b := find1(t, d, named("toy-b"))
	s.Files[0].Content = []byte("a = 2\n")
	expectSame(t, "a file", Report{Wrote: []string{"etc/toy.conf"}, Restarted: []string{"toy-a"}}, converge(t, d, s))
	s.Processes[0].Env = append(s.Processes[0].Env, `ODD=$HOME "50%" \n`)
	expectSame(t, "a variable", Report{Restarted: []string{"toy-a"}}, converge(t, d, s))
	if now := find1(t, d, named("toy-b")); now.pid != b.pid {
		t.Errorf("the other process was restarted: %d and %d", b.pid, now.pid)
	}
	healthy(t, d, s)
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", find1(t, d, named("toy-a")).pid))
	if err != nil || !strings.Contains(string(environment), "\x00"+`ODD=$HOME "50%" \n`+"\x00") {
		t.Errorf("%v, environment %q", err, environment)
	}
	s.Processes[0].Log.Files = 2
	expectSame(t, "a limit of the log", Report{}, converge(t, d, s))
	healthy(t, d, s)
	s.Processes = s.Processes[:1]
	expectSame(t, "one less", Report{Removed: []string{"toy-b"}}, converge(t, d, s))
	expectNone(t, d, "toy-b")
	if err := d.Withdraw(t.Context(), "toy"); err != nil {
		t.Fatal(err)
	}
	expectNobody(t, d)
	expectNoUnits(t)
	if gone, err := d.Release(t.Context()); !gone || err != nil {
		t.Errorf("release: %t, %v", gone, err)
	}
}

// A process that is killed comes back, and so does what writes its log; nothing that is said is lost meanwhile.
func TestUnitsComeBack(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	starts := func(wanted int) {
		t.Helper()
		eventually(t, "starts in the log", 10*time.Second, func() error {
			// An svlogd that was killed leaves the file that it wrote under another name.
			data := tool(t, "sh", "-c", "cat "+d.Path("log/toy-a")+"/@* "+d.LogPath("toy-a")+" 2>/dev/null; true")
			if n := strings.Count(data, "staying"); n != wanted {
				return fmt.Errorf("%d starts instead of %d in %q", n, wanted, data)
			}
			return nil
		})
		healthy(t, d, s)
	}
	starts(1)
	kill(t, find1(t, d, named("toy-a")))
	starts(2)
	writer := find1(t, d, named("toy-a/log"))
	tool(t, "kill", "-STOP", fmt.Sprint(writer.pid))
	kill(t, find1(t, d, named("toy-a")))
	eventually(t, "it does not come back", 10*time.Second, func() error {
		all, err := d.processes()
		if found := all.choose(named("toy-a")); len(found) == 0 || !strings.HasPrefix(found[0].command, "helper") {
			return errors.Join(err, errors.New("not there yet"))
		}
		return err
	})
	kill(t, writer)
	starts(3)
	expectSame(t, "again", Report{}, converge(t, d, s))
}

func TestUnitsDriftIsSeenAndRepaired(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	unit, log := d.unitName("toy-a"), d.unitName("toy-a/log")
	path := filepath.Join(unitFolder, unit)
	edit := func(folder string) func() {
		return func() {
			if err := os.MkdirAll(filepath.Join(folder, unit+".d"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, unit+".d/override.conf"), []byte("[Service]\nNice=5\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctl := func(words ...string) func() { return func() { tool(t, append([]string{"systemctl"}, words...)...) } }
	steps := func(all ...func()) func() {
		return func() {
			for _, step := range all {
				step()
			}
		}
	}
	remove := func(name string) func() {
		return func() {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		says   string
		spoil  func()
		report Report
	}{
		{"process toy-a is down", ctl("stop", unit), Report{Started: []string{"toy-a"}}},
		{"process toy-a keeps no log: the unit " + log + " is down", ctl("stop", log), Report{}},
		{"process toy-a will not start at the next boot: the unit " + unit + " is disabled", ctl("disable", unit), Report{}},
		{"process toy-a cannot start: the unit " + unit + " is masked", steps(remove(path), ctl("mask", unit)), Report{}},
		{"process toy-a cannot start: the unit " + unit + " is masked", ctl("mask", "--runtime", unit), Report{}},
		{"process toy-a has a unit that was changed by hand: " + path,
			func() { tool(t, "sed", "-i", "s/^UMask=.*/UMask=0077/", path) }, Report{Restarted: []string{"toy-a"}}},
		{"process toy-a has lost its unit " + path, steps(remove(path), ctl("daemon-reload")), Report{}},
		{"process toy-a has a unit that is overridden by /etc/systemd/system/" + unit + ".d/override.conf", edit(unitFolder),
			Report{Restarted: []string{"toy-a"}}},
		{"process toy-a has a unit that is overridden by /run/systemd/system/" + unit + ".d/override.conf",
			steps(edit(runtimeFolder), ctl("daemon-reload"), ctl("restart", unit)), Report{Restarted: []string{"toy-a"}}},
		{"process toy-a has a unit that is overridden by /etc/systemd/system.control/" + unit + ".d/50-CPUWeight.conf",
			ctl("set-property", unit, "CPUWeight=50"), Report{Restarted: []string{"toy-a"}}},
		{"file etc/toy.conf was changed by hand", func() { tool(t, "sh", "-c", "echo a = 3 >"+d.ServicePath("toy", "etc/toy.conf")) },
			Report{Wrote: []string{"etc/toy.conf"}, Restarted: []string{"toy-a"}}},
		{"file systemd/toy-a/inputs was changed by hand", func() { tool(t, "sh", "-c", "echo x >"+d.ServicePath("toy", "systemd/toy-a/inputs")) },
			Report{Restarted: []string{"toy-a"}}},
		{"process toy-a runs with what it was given before the last change", steps(
			func() { tool(t, "sed", "-i", "s/$/x/", d.ServicePath("toy", "systemd/toy-a/inputs")) }), Report{}},
	} {
		t.Run(test.says, func(t *testing.T) {
			test.spoil()
			if i := inspect(t, d, "toy"); !slices.Contains(i.Problems, test.says) {
				t.Errorf("problems %q", i.Problems)
			}
			if report := converge(t, d, s); !strings.Contains(test.says, "before the last change") {
				expectSame(t, "report", test.report, report)
			}
			healthy(t, d, s)
		})
	}
}

// A change that is cut short, wherever, is finished by the next call.
func TestUnitsInterruption(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	for n := range 9 {
		s.Files[0].Content = fmt.Appendf(nil, "a = %d\n", n)
		s.Processes[n%2].Env = append(s.Processes[n%2].Env, fmt.Sprintf("TURN=%d", n))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n*n*2)*time.Millisecond)
		_, err := d.Converge(ctx, s)
		cancel()
		t.Logf("after %d ms: %v", n*n*2, err)
		converge(t, d, s)
		healthy(t, d, s)
		expectSame(t, "again", Report{}, converge(t, d, s))
	}
}

func TestUnitsStopInGoodTime(t *testing.T) {
	d, _ := systemStack(t, nil)
	drained := d.ServicePath("toy", "data/drained")
	s := toy(t, d, map[string]string{"drains": "drain " + drained, "stubborn": "stubborn"})
	for i := range s.Processes {
		s.Processes[i].StopWait = 2 * time.Second
	}
	converge(t, d, s)
	begin := time.Now()
	if err := d.Stop(t.Context(), "toy"); err != nil {
		t.Fatal(err)
	}
	if spent := time.Since(begin); spent < 2*time.Second || spent > 6*time.Second {
		t.Errorf("it took %s", spent)
	}
	expectNobody(t, d)
	if data, err := os.ReadFile(drained); err != nil || string(data) != "drained\n" {
		t.Errorf("%q, %v", data, err)
	}
	if i := inspect(t, d, "toy"); i.Problem != "process drains will not start at the next boot: the unit "+d.unitName("drains")+" is disabled" {
		t.Errorf("problems %q", i.Problems)
	}
	expectSame(t, "started again", Report{Started: []string{"drains", "stubborn"}}, converge(t, d, s))
	healthy(t, d, s)
}

// A worker makes namespaces with a whole range of ids in them, as an account without rights, and mounts a fresh /proc and /sys there.
func TestUnitsMayMakeNamespaces(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay"})
	proof := d.ServicePath("toy", "data/proof")
	s.Processes[0] = Process{Name: "toy-a", Namespaces: true, StopWait: time.Second,
		Argv: []string{"/usr/bin/unshare", "--user", "--map-auto", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child",
			"sh", "-c", "mount -t proc proc /proc && mount -t sysfs sys /sys && unshare --user --map-root-user true && ip link set lo up && echo well >" + proof + "; exec sleep 1000"}}
	converge(t, d, s)
	eventually(t, "no proof", 10*time.Second, func() error {
		data, err := os.ReadFile(proof)
		if err == nil && string(data) != "well\n" {
			err = fmt.Errorf("%q", data)
		}
		if err != nil {
			err = errors.New(err.Error() + d.logTail("log/toy-a/current"))
		}
		return err
	})
	eventually(t, "the service is not healthy", 10*time.Second, func() error {
		if i := inspect(t, d, "toy"); i.Problem != "" {
			return errors.New(i.Problem)
		}
		return nil
	})
	s.Processes[0].Namespaces = false
	if err := os.Remove(proof); err != nil {
		t.Fatal(err)
	}
	converge(t, d, s)
	eventually(t, "it is refused", 10*time.Second, func() error {
		data, err := os.ReadFile(d.LogPath("toy-a"))
		if err == nil && !strings.Contains(string(data), "not permitted") {
			err = fmt.Errorf("%q", data)
		}
		return err
	})
}

// The folder of a stack that is up was removed by hand, its units too, or only one of both.
func TestUnitsWithoutTheirFolder(t *testing.T) {
	for name, spoil := range map[string]func(d *Directory){
		"folder": func(d *Directory) { tool(t, "rm", "-rf", d.Path()) },
		"units":  func(d *Directory) { tool(t, "sh", "-c", "rm "+unitFolder+"/"+unitPrefix+"*") },
		"both": func(d *Directory) {
			tool(t, "sh", "-c", "rm "+unitFolder+"/"+unitPrefix+"*; systemctl daemon-reload")
			tool(t, "rm", "-rf", d.Path())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := systemStack(t, map[string]string{"toy-a": "stay"})
			converge(t, d, s)
			spoil(d)
			if err := Sweep(t.Context(), machinePath); err != nil {
				t.Error(err)
			}
			expectNobody(t, d)
			if _, err := os.Lstat(machinePath); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder: %v", err)
			}
		})
	}
}

func TestUnitsOfOthers(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay"})
	path := filepath.Join(unitFolder, d.unitName("toy-a"))
	if err := os.WriteFile(path, []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := d.Converge(t.Context(), s)
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if err := d.Withdraw(t.Context(), "toy"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a stranger's unit is gone: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tool(t, "systemctl", "daemon-reload")
	other, err := Create(t.Context(), Options{Path: d.path, Stack: "test", Account: d.account})
	if !errors.Is(err, ErrForeign) {
		t.Errorf("%v, error %v", other, err)
	}
}

func TestUnitsThatDie(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "unknown"})
	converge(t, d, s)
	err := d.WaitReady(t.Context(), "the toy", "toy-a", time.Minute, func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "ends again and again") || !strings.Contains(err.Error(), "unknown word unknown") {
		t.Errorf("error %v", err)
	}
	if i := inspect(t, d, "toy"); len(i.Problems) == 0 {
		t.Error("all is well?")
	}
}

func TestBeforeBoot(t *testing.T) {
	if os.Getenv(onMachineVariable) == "" {
		t.Fatal("TestSystemd runs it, on a machine of its own: make test-machine")
	}
	d, s := existingStack(t, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	converge(t, d, s)
	healthy(t, d, s)
	if _, err := d.WriteFile("services/toy/data/precious", []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAfterBoot(t *testing.T) {
	d, s := systemStack(t, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	healthy(t, d, s)
	expectSame(t, "nothing to do", Report{}, converge(t, d, s))
	if data, err := d.ReadFile("services/toy/data/precious"); err != nil || string(data) != "kept" {
		t.Errorf("%q, %v", data, err)
	}
}

// A machine that lacks a package and the account gets both, and nothing starts on it because of that.
func TestFurnish(t *testing.T) {
	if os.Getenv(onMachineVariable) == "" {
		t.Fatal("TestSystemd runs it, on a machine of its own: make test-machine")
	}
	before := tool(t, "systemctl", "list-units", "--no-legend", "--state=active", "--type=service", "--plain")
	archive := "/srv/archive/Packages"
	if err := os.Rename(archive, archive+".away"); err != nil {
		t.Fatal(err)
	}
	tool(t, "sh", "-c", "rm -rf /var/lib/apt/lists/*")
	err := Furnish(t.Context(), "swift", "")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "memcached") || !strings.Contains(err.Error(), "apply again") {
		t.Errorf("without an archive: %v", err)
	}
	if err := os.Rename(archive+".away", archive); err != nil {
		t.Fatal(err)
	}
	if err := Furnish(t.Context(), "swift", ""); err != nil {
		t.Fatal(err)
	}
	tool(t, "dpkg-query", "-W", "memcached")
	tool(t, "grep", "^"+DefaultAccount+":", "/etc/subuid", "/etc/subgid")
	account, err := Choose("")
	if err != nil || account.Name != DefaultAccount {
		t.Errorf("account %+v, %v", account, err)
	}
	if out, err := exec.Command("systemctl", "is-enabled", "memcached").CombinedOutput(); string(out) != "disabled\n" {
		t.Errorf("memcached at boot: %q, %v", out, err)
	}
	if out, err := exec.Command("pgrep", "-x", "memcached").CombinedOutput(); err == nil {
		t.Errorf("memcached runs: %s", out)
	}
	expectSame(t, "services at work", before, tool(t, "systemctl", "list-units", "--no-legend", "--state=active", "--type=service", "--plain"))
	if left, err := filepath.Glob("/usr/sbin/policy-rc.d*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	begin := time.Now()
	if err := Furnish(t.Context(), "swift", ""); err != nil {
		t.Fatal(err)
	}
	t.Logf("with nothing to do: %s", time.Since(begin))
	if err := Furnish(t.Context(), "unheard", ""); err == nil || !strings.Contains(err.Error(), "there is no service unheard") {
		t.Errorf("error %v", err)
	}
}
