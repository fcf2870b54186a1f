package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	markName   = "stack.json"
	project    = "autopkgtest-cloud"
	markFormat = 1
	// systemFormat is that of a system-wide stack: versions that know only runit keep off it.
	systemFormat = 2
	// supervisedBySystemd is what the mark of a system-wide stack says of its supervision.
	supervisedBySystemd = "systemd"
)

// mark is stack.json. It makes a folder ours: nothing is adopted, and nothing is swept, without it.
type mark struct {
	Project string `json:"project"`
	Stack   string `json:"stack"`
	Format  int    `json:"format"`
	Account string `json:"account"`
	// Supervision is empty for runit.
	Supervision string    `json:"supervision,omitempty"`
	Ports       markPorts `json:"ports"`
	Created     time.Time `json:"created"`
}

type markPorts struct {
	Base int `json:"base"` // first port of the block
	AMQP int `json:"amqp"` // where the broker listens: 5672, or the fallback
}

func (m mark) bytes() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", markName, err)
	}
	return append(data, '\n'), nil
}

// readMark reads and checks the mark. A folder without one is ErrAbsent if it holds nothing but, at most, the mark's own
// unfinished temporary file; otherwise, and when the mark is not one that we understand, it is ErrForeign.
func readMark(root *os.Root, path string) (mark, error) {
	data, err := readRegular(root, markName)
	if errors.Is(err, fs.ErrNotExist) {
		blank, err := isBlank(root)
		if err != nil {
			return mark{}, err
		}
		if blank {
			return mark{}, absent(path)
		}
		// Another process may have set the mark between our two looks.
		if data, err = readRegular(root, markName); errors.Is(err, fs.ErrNotExist) {
			return mark{}, foreign(path, "holds other things and no "+markName, nil)
		}
	}
	if err != nil {
		return mark{}, foreign(path, "has a "+markName+" that cannot be read", err)
	}
	var m mark
	if err := json.Unmarshal(data, &m); err != nil {
		return mark{}, foreign(path, "has a "+markName+" that is not ours", err)
	}
	if m.Project != project {
		return mark{}, foreign(path, fmt.Sprintf("bears the mark of %q", m.Project), nil)
	}
	if !m.known() {
		return mark{}, foreign(path, fmt.Sprintf("has the format %d with the supervision %q, which this version does not know",
			m.Format, m.Supervision), nil)
	}
	if err := checkBase(m.Ports.Base); err != nil {
		return mark{}, foreign(path, "has a "+markName+" with a wrong port", err)
	}
	return m, nil
}

// known says whether this version knows what the mark says.
func (m mark) known() bool {
	return m.Format == markFormat && m.Supervision == "" || m.Format == systemFormat && m.system()
}

// system says whether systemd runs the stack's processes.
func (m mark) system() bool { return m.Supervision == supervisedBySystemd }

// passing has the beginnings of the names that are in a folder while, and only while, its mark is being set.
var passing = []string{"." + markName + ".new-", lockCaller, probePrefix}

func isBlank(root *os.Root) (bool, error) {
	folder, err := root.Open(".")
	if err != nil {
		return false, fmt.Errorf("open the stack's folder: %w", err)
	}
	defer folder.Close()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return false, fmt.Errorf("list the stack's folder: %w", err)
	}
	for _, entry := range entries {
		if !slices.ContainsFunc(passing, func(prefix string) bool { return strings.HasPrefix(entry.Name(), prefix) }) {
			return false, nil
		}
	}
	return true, nil
}

func absent(path string) error {
	return &Problem{Kind: ErrAbsent, Thing: "the folder " + path, Cause: "holds no stack",
		WayOut: "terraform apply makes it."}
}

func (d *Directory) absent() error { return absent(d.path) }

func foreign(path, cause string, err error) error {
	return &Problem{Kind: ErrForeign, Thing: "the folder " + path, Cause: cause, Err: err,
		WayOut: "Name another folder; or, if nothing in this one is needed, empty it by hand."}
}

// belongsTo checks that the mark is this stack's.
func (m mark) belongsTo(stack, path string) error {
	if m.Stack == stack {
		return nil
	}
	return &Problem{Kind: ErrForeign, Thing: fmt.Sprintf("the stack %q", stack),
		Cause:  fmt.Sprintf("cannot have the folder %s: it belongs to the stack %q", path, m.Stack),
		WayOut: fmt.Sprintf("Give each stack a folder of its own, or call this one %q if it is the same.", m.Stack)}
}

// supervisedAs refuses to have one stack under two kinds of supervision.
func (m mark) supervisedAs(system bool, path string) error {
	if m.system() == system {
		return nil
	}
	cause, wayOut := "is under systemd, system-wide", "with `system = true`"
	if system {
		cause, wayOut = "has a supervisor of its own and is not system-wide", "without `system`"
	}
	return &Problem{Kind: ErrForeign, Thing: "the stack in " + path, Cause: cause,
		WayOut: "All services of a stack are deployed alike: deploy these " + wayOut + " too, or destroy the stack first."}
}
