package host

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service describes what a service consists of. File and folder names are relative to the service's own folder,
// [Directory.ServicePath]; process names are unique in the stack.
type Service struct {
	Name      string
	Format    int // version of the definition's layout; [Inspection] gives back the one that was put in place
	Files     []File
	Processes []Process
	Binary    *Binary  // our own program, where the service is one; Argv refers to it by [Directory.BinaryPath]
	Folders   []string // folders that are made and are no loss
	Data      []string // folders that are made and whose contents nobody can make again
	// Prepare is called on each Converge after files, folders and binary are in place and before processes are started
	// or restarted. It makes what Makes lists (with [Directory.Run]) and is called again after any interruption, so it
	// does nothing when its work is done. May be nil.
	Prepare func(ctx context.Context) error
	// Makes names the files that Prepare makes. A missing one is a problem that the next Converge repairs; all
	// processes are restarted when one changes.
	Makes []string
}

// File is one file of a service, owned by the account.
type File struct {
	Name    string
	Content []byte
	Perm    fs.FileMode // 0600 when zero
	Secret  bool        // keep even its hash out of the manifest
}

func (f File) perm() fs.FileMode {
	if f.Perm == 0 {
		return 0o600
	}
	return f.Perm
}

// Process is one supervised process. Neither Argv nor Env may hold a secret: both are readable in /proc.
type Process struct {
	Name string
	Argv []string // Argv[0] is an absolute path
	Env  []string // added to PATH, HOME (the service's folder), LANG and our marks; a later entry wins
	Dir  string   // relative to the service's folder; the folder itself when empty
	// Reads names the Files whose change needs a restart of this process; nil means all of them.
	Reads []string
	// Listen has the addresses (ip:port) that the process will listen on. They are tried before anything is changed, so
	// that a taken port is ErrPortTaken instead of a process that dies again and again. An address that a process of
	// this service has is fine: it is about to be replaced, or just what we want.
	Listen []string
	// Log bounds what is kept of what the process says. The zero value is the default.
	Log LogLimit
	// Notify: it tells systemd when it is ready, and that it is alive (sd_notify).
	Notify bool
	// Namespaces: it makes user namespaces, with programs that are set-uid. Nothing may be forbidden that these need.
	Namespaces bool
	// StopWait is how long the process may take after TERM before it is killed; 10 s when zero.
	StopWait time.Duration
}

// defaultStopWait is what programs get that drain nothing.
const defaultStopWait = 10 * time.Second

func (p Process) stopWait() time.Duration {
	if p.StopWait == 0 {
		return defaultStopWait
	}
	return p.StopWait
}

// Report says what Converge did.
type Report struct {
	Created   bool     // the service was not there before
	Wrote     []string // files
	Started   []string // processes that were down or new
	Restarted []string // processes whose inputs had changed, or which had lost their supervisor
	Removed   []string // processes that are no longer in the definition
}

// Changed says whether Converge had anything to do.
func (r Report) Changed() bool {
	return r.Created || len(r.Wrote)+len(r.Started)+len(r.Restarted)+len(r.Removed) > 0
}

var (
	goodName     = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,62}$`)
	goodVariable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// validate refuses definitions that could not be put in place as they are meant. They come from our own code, so this
// is for its author; what users give has been checked before.
func (s Service) validate() error {
	wrong := func(format string, arguments ...any) error {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the definition of service %q", s.Name),
			Cause: fmt.Sprintf(format, arguments...)}
	}
	if !goodName.MatchString(s.Name) {
		return wrong("has a name that cannot be one of a folder")
	}
	names := slices.Concat(s.Folders, s.Data, s.Makes)
	for _, file := range s.Files {
		names = append(names, file.Name)
	}
	for _, name := range names {
		if !filepath.IsLocal(name) || name != filepath.Clean(name) || name == "." {
			return wrong("has the path %q, which is not a clean path inside its folder", name)
		}
		if reserved(name) {
			return wrong("has the path %q, which is in our own way", name)
		}
	}
	seen := map[string]bool{}
	for _, p := range s.Processes {
		if seen[p.Name] {
			return wrong("has two processes %q", p.Name)
		}
		seen[p.Name] = true
		if err := p.validate(); err != nil {
			return wrong("is wrong: process %q %v", p.Name, err)
		}
		for _, name := range p.Reads {
			if !slices.ContainsFunc(s.Files, func(f File) bool { return f.Name == name }) {
				return wrong("is wrong: process %q reads %q, which is no file of the service", p.Name, name)
			}
		}
	}
	return nil
}

// reserved says whether a name in a service's folder is the manifest's or the supervision's.
func reserved(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == manifestName || first == "runit" || first == "systemd"
}

func (p Process) validate() error {
	switch {
	case !goodName.MatchString(p.Name) || p.Name == supervisor:
		return fmt.Errorf("has a name that cannot be used")
	case len(p.Argv) == 0 || !filepath.IsAbs(p.Argv[0]):
		return fmt.Errorf("has no absolute path of a program")
	case p.Dir != "" && !filepath.IsLocal(p.Dir):
		return fmt.Errorf("has the folder %q, which is not inside the service's", p.Dir)
	}
	for _, text := range slices.Concat(p.Argv, p.Env) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' }) {
			return fmt.Errorf("has a control character in %q", text)
		}
	}
	for _, variable := range p.Env {
		if !goodVariable.MatchString(variable) {
			return fmt.Errorf("has %q for an environment variable", variable)
		}
	}
	for _, address := range p.Listen {
		if _, _, err := splitAddress(address); err != nil {
			return err
		}
	}
	return nil
}

func splitAddress(address string) (string, int, error) {
	ip, portText, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("has an address without port: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || net.ParseIP(ip) == nil {
		return "", 0, fmt.Errorf("has the address %q, which is not ip:port", address)
	}
	return ip, port, nil
}
