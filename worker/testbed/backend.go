package testbed

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Backend is one kind of throw-away testbed, as one of autopkgtest's virtualization servers offers it.
//
// A backend is a package of its own below this one. It calls Register from its init function and imports nothing else of
// this project; the programs that are to have it import it for that effect, in the file backends.go of the program.
//
// Methods may be called at any time and from several goroutines; none of them starts a testbed.
type Backend interface {
	// Name is the backend's word in configuration and logs, the same as the virtualization server's.
	Name() string

	// Arguments is what follows `--` on autopkgtest's command line, the server's name first. It is a pure function of
	// the testbed that is asked for.
	Arguments(Testbed) []string

	// Properties says what the backend's testbeds can do and what it needs on this machine.
	Properties() Properties
}

// Testbed names the testbed that a run needs.
type Testbed struct {
	Release      string
	Architecture string

	// Image is the path of the testbed's image as autopkgtest sees it, which is not the path on this machine.
	Image string

	// Name is one that no other testbed on this machine has, for tools that want one.
	Name string

	// Worker is the name of the worker that makes it; empty for a program that is none. Run is the handle of the request that
	// it is for, and Package that request's; both are empty for a canary.
	Worker, Run, Package string

	// Given are the operator's own arguments, without the backend's name: they replace those that the backend would make.
	// Nil means that there are none.
	Given []string
}

// Properties is what a backend declares instead of being asked for its name.
type Properties struct {
	// Capabilities are those of the virtualization server that a test's restrictions can ask for.
	Capabilities []Capability

	// Commands must be installed for autopkgtest to use this backend, each with the Debian package that has it.
	Commands map[string]string

	// Privileged says that the backend's tools must be root of this machine. Its runs are then made without a namespace of
	// users, see confinement.privileged; the program must be root, and runs of other backends do not work in it.
	Privileged bool

	// Folders are files and folders of this machine that a privileged backend's tools find at the same place, and may
	// write to, such as /var/lib/lxc. What is not there is left out. All others are as for every run: this machine's
	// programs and little of /etc.
	Folders []string

	// Imageless says that testbeds do not come from one of our images.
	Imageless bool

	// Packages are what an image needs beside those that every image has.
	Packages []string

	// OnMachine says that autopkgtest sees this machine's files and uses its network, as the account that it runs as: its
	// tests run elsewhere, or are meant to run on this machine. Its processes, its mounts and its temporary files are the
	// run's own all the same.
	OnMachine bool

	// User is the account in a testbed for tests that need not be root, if the virtualization server does not name one.
	User string

	// Stretch multiplies autopkgtest's own time limits, for testbeds that are slow because they are emulated. Zero and one
	// change nothing.
	Stretch int

	// Boots is how much longer than others a canary may take, for testbeds that somebody else boots in his own time. It is for two
	// boots, and for a reboot.
	Boots time.Duration

	// Remark is what an operator should know of the testbeds on this machine, as a clause; empty for nothing.
	Remark string

	// Exposes says why tests are not kept away from this machine, for a backend that nobody should use who does not mean
	// to. It is empty for all others. See AllowExposed.
	Exposes string
}

// Capability is one of autopkgtest's testbed capabilities.
type Capability string

// The capabilities that decide whether a test is run or skipped.
const (
	RootOnTestbed      Capability = "root-on-testbed"
	Revert             Capability = "revert"
	RevertFullSystem   Capability = "revert-full-system"
	IsolationContainer Capability = "isolation-container"
	IsolationMachine   Capability = "isolation-machine"
	Reboot             Capability = "reboot"
)

// Can says whether the backend's testbeds have a capability.
func (p Properties) Can(c Capability) bool { return slices.Contains(p.Capabilities, c) }

var registry struct {
	sync.Mutex
	backends []Backend
}

// Register makes a backend known under its name. It is called from the init function of the backend's package, and
// panics when two backends claim one name: that is a mistake of whoever built the program.
func Register(b Backend) {
	registry.Lock()
	defer registry.Unlock()
	for _, other := range registry.backends {
		if other.Name() == b.Name() {
			panic("testbed: two backends are called " + b.Name())
		}
	}
	registry.backends = append(registry.backends, b)
}

// Lookup finds a backend by its name.
func Lookup(name string) (Backend, error) {
	registry.Lock()
	defer registry.Unlock()
	var known []string
	for _, b := range registry.backends {
		if b.Name() == name {
			return b, nil
		}
		known = append(known, b.Name())
	}
	slices.Sort(known)
	return nil, fmt.Errorf("no testbed backend is called %q; this program has: %s", name, strings.Join(known, ", "))
}
