package host

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestUnitText(t *testing.T) {
	t.Parallel()
	d := &Directory{path: "/var/lib/x/main", stack: "main", account: Account{Name: "cloud", UID: 7, GID: 8}, system: true}
	p := Process{Name: "web", Argv: []string{"/usr/bin/web", `a "b" $c 5% \d`}, Env: []string{`ODD=$HOME 5% "x"`}, Listen: []string{"0.0.0.0:80"}}
	text, err := d.renderUnit("site", p)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`Environment="ODD=$HOME 5%% \"x\""`,
		`Environment="AUTOPKGTEST_CLOUD_DIRECTORY=/var/lib/x/main"`,
		`User=cloud`, `Restart=always`, `StartLimitIntervalSec=0`, `TimeoutStopSec=10000ms`, `NoNewPrivileges=yes`, `PrivateTmp=yes`,
		`ReadWritePaths=/var/lib/x/main`, `AmbientCapabilities=CAP_NET_BIND_SERVICE`, `Type=exec`,
		`Wants=network-online.target autopkgtest-main-web.log.service`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if !strings.Contains(text, ` "/usr/bin/web" "a \"b\" $$c 5%% \\d"`+"\n") {
		t.Errorf("the command is not in\n%s", text)
	}
	p.Namespaces, p.Notify = true, true
	if text, err = d.renderUnit("site", p); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"NoNewPrivileges", "Kernel", "CapabilityBoundingSet", "RestrictNamespaces", "SystemCall"} {
		if strings.Contains(text, word) {
			t.Errorf("who makes namespaces may not have %s:\n%s", word, text)
		}
	}
	if !strings.Contains(text, "\nType=notify\n") {
		t.Errorf("it cannot notify:\n%s", text)
	}
}

func TestUnitsTellWhoseTheyAre(t *testing.T) {
	t.Parallel()
	d := &Directory{path: "/var/lib/x/main", stack: "main", account: Account{Name: "cloud"}}
	text, err := d.renderLogUnit("site", Process{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	want := owner{directory: "/var/lib/x/main", service: "site", process: "web/log", intact: true}
	if o, ours := ownerOfUnit(text); !ours || o != want || !o.isLog() {
		t.Errorf("%+v, %t", o, ours)
	}
	for name, changed := range map[string]string{
		"a value":      strings.Replace(text, "UMask=0022", "UMask=0077", 1),
		"a line more":  text + "Nice=5\n",
		"a line less":  strings.Replace(text, "Restart=always\n", "", 1),
		"another name": strings.Replace(text, "Service=site", "Service=other", 1),
	} {
		if changed == text {
			t.Fatalf("%s: nothing changed", name)
		}
		if o, ours := ownerOfUnit(changed); !ours || o.intact {
			t.Errorf("%s: %+v, %t", name, o, ours)
		}
	}
	if o, ours := ownerOfUnit("[Service]\nExecStart=/bin/true\n"); ours {
		t.Errorf("a stranger's: %+v", o)
	}
}

func TestMarkOfSystemStack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		format      int
		supervision string
		known       bool
	}{{1, "", true}, {2, "systemd", true}, {1, "systemd", false}, {2, "", false}, {2, "launchd", false}, {3, "systemd", false}} {
		if m := (mark{Format: test.format, Supervision: test.supervision}); m.known() != test.known {
			t.Errorf("%+v: %t", test, m.known())
		}
	}
	for _, system := range []bool{false, true} {
		m := mark{}
		if !system {
			m.Supervision = supervisedBySystemd
		}
		if err := m.supervisedAs(system, "/x"); !errors.Is(err, ErrForeign) {
			t.Errorf("system %t: %v", system, err)
		}
		if err := m.supervisedAs(!system, "/x"); err != nil {
			t.Error(err)
		}
	}
}

// TestStraysOfAUnit: a process that has ended since one looked is no stray, whatever control group it was in.
func TestStraysOfAUnit(t *testing.T) {
	t.Parallel()
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	seen, ok := readProcess(child.Process.Pid)
	if !ok {
		t.Fatal("a process that runs cannot be read")
	}
	seen.mark, seen.ours = "web", true
	u := unitProcess{d: &Directory{stack: "main"}, service: "site", name: "web"}
	all := snapshot{seen.pid: seen}
	if got := u.strays(all); len(got) != 1 {
		t.Errorf("while it runs: %v", got)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if got := u.strays(all); len(got) != 0 {
		t.Errorf("when it has ended: %v", got)
	}
}
