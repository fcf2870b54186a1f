package testbed

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The two sides of a namespace talk over a socket, in JSON objects: the outside (this program) tells, the inside (its
// first process, see InsideMain) reports.
//
//	outside                                     inside
//	   │ orders{Config}  ids are mapped            │ mounts
//	   ├──────────────────────────────────────────►│
//	   │ orders{Network} the way out is there      │ filter, routes
//	   ├──────────────────────────────────────────►│ with both: the command
//	   │                           report{Started} │
//	   │◄──────────────────────────────────────────┤
//	   │ orders{Stop}    TERM to the command       │
//	   ├──────────────────────────────────────────►│
//	   │                              report{Exit} │ the command is over
//	   │◄──────────────────────────────────────────┤ and with this process everything in there
//
// Namespaces that are made ahead (see ahead) get the second order first, and report{Ready} when they have carried it out.
//
// The end of the socket is a message too: when the outside is gone, however it died, the inside ends itself at once.

// orders is a message to the inside.
type orders struct {
	Config  *insideConfig  `json:"config,omitempty"`
	Network *insideNetwork `json:"network,omitempty"`
	Stop    bool           `json:"stop,omitempty"`
}

// insideNetwork is what to do with the network when there is a way out.
type insideNetwork struct {
	Filter  string `json:"filter,omitempty"` // see filter.ruleset; empty for none in there
	IPv6    bool   `json:"ipv6,omitempty"`
	Gateway bool   `json:"gateway,omitempty"` // the way out has left the interface as it is
}

// report is a message from the inside.
type report struct {
	Ready    bool        `json:"ready,omitempty"` // the network is there, and no command yet
	Started  bool        `json:"started,omitempty"`
	Exceeded *exceeded   `json:"exceeded,omitempty"` // a limit has ended the run
	Full     string      `json:"full,omitempty"`     // there is no space left for anybody
	Exit     *exitStatus `json:"exit,omitempty"`
	Error    string      `json:"error,omitempty"`
}

// exitStatus is how a command ended.
type exitStatus struct {
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"` // the one that killed it; 0 for none
}

// shell is the status as a shell tells it: 128 and the number for a command that was killed by a signal.
func (s exitStatus) shell() int {
	if s.Signal != 0 {
		return 128 + s.Signal
	}
	return s.Code
}

// insideConfig is what the first process is to do. All paths in it are this machine's unless said otherwise.
type insideConfig struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"` // as seen from the inside

	// Tree is the file system that the command sees; nil for this machine's own, with nothing in the folders of Hide.
	Tree *tree    `json:"tree,omitempty"`
	Hide []string `json:"hide,omitempty"`

	// Plain is confinement.plain: the command is the account, with no rights beyond its own.
	Plain bool `json:"plain,omitempty"`

	// Privileged is confinement.privileged: no user namespace takes rights over this machine away from the command.
	Privileged bool `json:"privileged,omitempty"`

	// Network is the one that the command needs; nil for none. If there is another filter by then, it is replaced.
	Network *insideNetwork `json:"network,omitempty"`

	// Limits end the command, and with it everything. Files are the folders that the limit on disk is about, and in which
	// there must be space; both as seen from the inside.
	Limits Limits   `json:"limits,omitzero"`
	Files  []string `json:"files,omitempty"`

	// Tidy is a folder of which everything is given to the account, see tidy. It is done after Argv, which may be empty.
	Tidy string `json:"tidy,omitempty"`
}

// controlPair makes the socket. The child's end is for exec.Cmd.ExtraFiles and has to be closed by the caller.
func controlPair() (parent net.Conn, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	child = os.NewFile(uintptr(fds[1]), "control, inside")
	ours := os.NewFile(uintptr(fds[0]), "control, outside")
	defer ours.Close() // FileConn has made a copy
	parent, err = net.FileConn(ours)
	if err != nil {
		child.Close()
		return nil, nil, fmt.Errorf("use a socket pair: %w", err)
	}
	return parent, child, nil
}

func send(to interface{ Write([]byte) (int, error) }, message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = to.Write(append(line, '\n'))
	return err
}
