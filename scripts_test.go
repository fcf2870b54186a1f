package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is what scripts/setup meets: programs that stand first in its PATH, and files that it takes for those of /etc.
type machine struct {
	t      *testing.T
	folder string
}

// newMachine is a known one, run by a plain user, on which everything is there.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, folder: t.TempDir()}
	m.file("etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME='Debian 12'\n")
	m.file("etc/subuid", "operator:100000:65536\n")
	m.file("etc/subgid", "operator:100000:65536\n")
	m.file("dev/net/tun", "")
	m.file("dev/shm/x", "")
	m.program("id", `case "$*" in -u|"-u operator") echo 4242 ;; *) echo operator ;; esac`)
	m.program("go", "echo go1.999.0")
	m.installedBut("nothing")
	m.program("chromium", "")
	// What the trials ask of them: the inner namespace's process on descriptor 7, slirp4netns's readiness on 8, rules on standard
	// input.
	m.program("nft", "grep -q 'reject with tcp reset'")
	m.program("unshare", `case "$*" in *true) exit 0 ;; *nft*) exec nft ;; *) sleep 60 & echo $! >&7; wait ;; esac`)
	m.program("slirp4netns", "printf 1 >&8")
	m.program("df", "echo Avail; echo 99999999999")
	m.program("sudo", `echo "sudo was called"; exit 1`)
	return m
}

func (m *machine) file(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) program(name, body string) {
	m.t.Helper()
	m.file(name, "#!/bin/sh\n"+body+"\n")
	if err := os.Chmod(filepath.Join(m.folder, name), 0o700); err != nil { //nolint:gosec // it is to be run
		m.t.Fatal(err)
	}
}

func (m *machine) remove(names ...string) {
	m.t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(m.folder, name)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// installedBut makes dpkg-query call everything installed but one package.
func (m *machine) installedBut(name string) {
	m.program("dpkg-query", `printf '%s\n' "$@" | grep -v -e '^-' -e '^`+name+`$' | sed 's/$/ installed/'`)
}

// asRoot has root run it, on a machine that has the services' account.
func (m *machine) asRoot() {
	m.program("id", `case "$*" in -u) echo 0 ;; "-u autopkgtest-cloud") echo 4242 ;; *) echo autopkgtest-cloud ;; esac`)
	m.program("stat", "echo autopkgtest-cloud 755")
	m.file("etc/subuid", "autopkgtest-cloud:100000:65536\n")
	m.file("etc/subgid", "autopkgtest-cloud:100000:65536\n")
}

// setup runs scripts/setup and returns all that it said.
func (m *machine) setup(arguments ...string) (string, error) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), "scripts/setup", arguments...)
	cmd.Env = append(os.Environ(), "PATH="+m.folder+":"+os.Getenv("PATH"), "AUTOPKGTEST_SETUP_ROOT="+m.folder,
		"DIRECTORY="+filepath.Join(m.folder, "stack"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestSetup: what scripts/setup cannot put right must name the thing and the way out, and sudo is called only when
// something is missing.
func TestSetup(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange   func(*machine)
		arguments []string
		fails     bool
		says      []string
		not       string
	}{
		"everything there": {
			arrange: func(*machine) {},
			says:    []string{"nothing to do"}, not: "sudo",
		},
		"everything there, checked": {
			arrange: func(*machine) {}, arguments: []string{"--check", "--tests"},
			says: []string{"nothing is missing"}, not: "sudo",
		},
		"unknown machine": {
			arrange: func(m *machine) { m.file("etc/os-release", "ID=fedora\nVERSION_ID=43\nPRETTY_NAME='Fedora 43'\n") },
			fails:   true,
			says: []string{"runs Fedora 43", "Debian 12 or newer and Ubuntu 24.04 or newer", "rabbitmq-server",
				"slirp4netns", "AUTOPKGTEST_SETUP_ANY_MACHINE=1"},
		},
		"too old a Debian": {
			arrange: func(m *machine) { m.file("etc/os-release", "ID=debian\nVERSION_ID=11\nPRETTY_NAME='Debian 11'\n") },
			fails:   true, says: []string{"runs Debian 11", "Debian 12 or newer"},
		},
		"too old an Ubuntu": {
			arrange: func(m *machine) {
				m.file("etc/os-release", "ID=ubuntu\nVERSION_ID=22.04\nPRETTY_NAME='Ubuntu 22.04'\n")
			},
			fails: true, says: []string{"runs Ubuntu 22.04", "Ubuntu 24.04 or newer"},
		},
		"Debian testing": {
			arrange: func(m *machine) { m.file("etc/os-release", "ID=debian\nPRETTY_NAME='Debian testing'\n") },
			says:    []string{"nothing to do"},
		},
		"too old a Go": {
			arrange: func(m *machine) { m.program("go", "echo go1.21.3") },
			fails:   true, says: []string{"is Go 1.21.3", "or newer is needed", "https://go.dev/dl/"},
		},
		"package missing, only asked": {
			arrange: func(m *machine) { m.installedBut("runit") }, arguments: []string{"--check"},
			fails: true, says: []string{"missing: install runit"}, not: "sudo",
		},
		"package of the slow tests missing": {
			arrange: func(m *machine) { m.installedBut("lxd") }, arguments: []string{"--check", "--tests", "--slow"},
			fails: true, says: []string{"missing: install lxd"}, not: "sudo",
		},
		"package of the slow tests missing, not asked for": {
			arrange: func(m *machine) { m.installedBut("qemu-utils") }, arguments: []string{"--check", "--tests"},
			says: []string{"nothing is missing"},
		},
		"package of OpenStack missing": {
			arrange: func(m *machine) { m.installedBut("neutron-server") }, arguments: []string{"--check", "--openstack"},
			fails: true, says: []string{"missing: install neutron-server"},
		},
		"package of OpenStack missing, not asked for": {
			arrange: func(m *machine) { m.installedBut("neutron-server") }, arguments: []string{"--check", "--tests", "--slow"},
			says: []string{"nothing is missing"},
		},
		"package missing, sudo refuses": {
			arrange: func(m *machine) { m.installedBut("runit") },
			fails:   true, says: []string{"sudo is needed to: install runit", "as root:", "--root-part operator"},
		},
		"package of another service missing": {
			arrange: func(m *machine) { m.asRoot(); m.installedBut("rabbitmq-server") }, arguments: []string{"--check", "--service", "swift"},
			says: []string{"nothing is missing"},
		},
		"package of the service missing": {
			arrange: func(m *machine) { m.asRoot(); m.installedBut("memcached") }, arguments: []string{"--check", "--service", "swift"},
			fails: true, says: []string{"missing: install memcached"},
		},
		"no such service": {
			arrange: (*machine).asRoot, arguments: []string{"--check", "--service", "postgres"},
			fails: true, says: []string{"there is no service postgres"},
		},
		"a service, but not root": {
			arrange: func(*machine) {}, arguments: []string{"--check", "--service", "web"},
			fails: true, says: []string{"only root can bring"}, not: "sudo",
		},
		"an installation was killed": {
			arrange: func(m *machine) { m.file("var/lib/misc/autopkgtest-cloud-setup/packages", "") }, arguments: []string{"--check"},
			fails: true, says: []string{"finish an installation that was killed"},
		},
		"no ids for testbeds": {
			arrange: func(m *machine) { m.file("etc/subgid", "somebody:100000:65536\n") }, arguments: []string{"--check"},
			fails: true, says: []string{"give operator 65536 ids"},
		},
		"no namespaces": {
			arrange: func(m *machine) { m.program("unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1") },
			fails:   true, says: []string{"account operator cannot make the namespaces", "Operation not permitted"},
		},
		"no shared memory": {
			arrange: func(m *machine) { m.remove("dev/shm/x", "dev/shm") },
			fails:   true, says: []string{"/dev/shm is not writable for operator", "mount -t tmpfs"},
		},
		"no network for tests": {
			arrange: func(m *machine) { m.program("slirp4netns", "echo 'open(/dev/net/tun): Permission denied'; exit 1") },
			fails:   true, says: []string{"account operator cannot make the namespaces", "tun): Permission denied"},
		},
		"no filter for tests": {
			arrange: func(m *machine) {
				m.program("nft", "echo '/dev/stdin:10:3-7: Error: Could not process rule: No such file or directory'; echo '^^^'; exit 1")
			},
			fails: true, says: []string{"the kernel does not take the filter", "No such file or directory", "modprobe -a nf_tables nft_reject_inet"},
			not: "^^^",
		},
		"disk nearly full": {
			arrange: func(m *machine) { m.program("df", "echo Avail; echo 102400") },
			fails:   true, says: []string{"needs 2048 MiB in", "/stack", "100 MiB free", "DIRECTORY="},
		},
		"unknown argument": {
			arrange: func(*machine) {}, arguments: []string{"--everything"},
			fails: true, says: []string{"--everything", "--help"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			test.arrange(m)
			out, err := m.setup(test.arguments...)
			if (err != nil) != test.fails {
				t.Errorf("error = %v, want one: %v; it said:\n%s", err, test.fails, out)
			}
			for _, text := range test.says {
				if !strings.Contains(out, text) {
					t.Errorf("setup does not say %q but:\n%s", text, out)
				}
			}
			if test.not != "" && strings.Contains(out, test.not) {
				t.Errorf("setup says %q:\n%s", test.not, out)
			}
		})
	}
}
