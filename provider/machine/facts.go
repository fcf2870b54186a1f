package machine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Facts are what has to be known of a machine before something is put there.
type Facts struct {
	Architecture string // as Go calls it
	UID          int
	Home         string
}

// architectures are those that the kernel calls otherwise than Go does.
var architectures = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armv7l": "arm", "armv6l": "arm", "riscv64": "riscv64",
	"ppc64le": "ppc64le", "s390x": "s390x", "loongarch64": "loong64",
}

// Facts asks the machine once.
func (m *Machine) Facts(ctx context.Context) (Facts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.facts != nil {
		return *m.facts, nil
	}
	out, err := m.shell(ctx, `uname -sm && id -u && printf '%s\n' "$HOME"`)
	if err != nil {
		return Facts{}, m.target.failed("say what it is", err)
	}
	facts, err := parseFacts(out)
	if err != nil {
		return Facts{}, m.target.failed("say what it is", err)
	}
	m.facts = &facts
	return facts, nil
}

func parseFacts(out string) (f Facts, err error) {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 3 {
		return Facts{}, fmt.Errorf("its shell says more than it was asked: %.200q", out)
	}
	system, kind, _ := strings.Cut(lines[0], " ")
	if system != "Linux" {
		return Facts{}, fmt.Errorf("it runs %s, and services need Linux", system)
	}
	f.Architecture = kind
	if name, ok := architectures[kind]; ok {
		f.Architecture = name
	}
	if f.UID, err = strconv.Atoi(lines[1]); err != nil {
		return Facts{}, err
	}
	if f.Home = lines[2]; !strings.HasPrefix(f.Home, "/") {
		return Facts{}, errors.New("the user has no home folder")
	}
	return f, nil
}
