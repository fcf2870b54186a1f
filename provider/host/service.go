package host

import (
	"context"
	"errors"
	"io/fs"
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
	Makes   []string // files that Prepare makes; a missing one is a problem that the next Converge repairs
}

// File is one file of a service, owned by the account.
type File struct {
	Name    string
	Content []byte
	Perm    fs.FileMode // 0600 when zero
	Secret  bool        // keep even its hash out of the manifest
}

// Process is one supervised process. Neither Argv nor Env may hold a secret: both are readable in /proc.
type Process struct {
	Name string
	Argv []string // Argv[0] is an absolute path
	Env  []string // added to PATH, HOME (the service's folder), LANG and our marks; a later entry wins
	Dir  string   // relative to the service's folder; the folder itself when empty
	// Reads names the Files whose change needs a restart of this process; nil means all of them.
	Reads []string
	// Listen has the addresses (host:port) that the process will listen on. They are tried before a start, so that a
	// taken port is ErrPortTaken instead of a process that dies again and again. An address that is in use by a
	// process of this stack is fine: it is about to be replaced.
	Listen []string
	// StopWait is how long the process may take after TERM before it is killed; 10 s when zero.
	StopWait time.Duration
}

// Report says what Converge did. All names are in order of the definition.
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

// Converge makes the folder agree with the definition: files first, then the binary, Prepare, the runit folders, and
// last the manifest. Only processes whose inputs changed are restarted: TERM, which drains, at most StopWait, then KILL. It
// returns once each process has been started; whether it serves is [Directory.WaitReady]'s business. Called again it
// does nothing, and after an interruption at any moment it finishes the work.
func (d *Directory) Converge(ctx context.Context, s Service) (Report, error) {
	return Report{}, errors.New("not yet")
}

// Inspection is what Inspect found.
type Inspection struct {
	Present bool   // the service's manifest is there
	Problem string // empty: all is as Converge left it. Otherwise a sentence for a plan: "process epmd is down"
	// Problems has all of them, Problem is the first.
	Problems  []string
	Lost      []string // Data folders that are gone, and with them what lived in them
	Format    int
	Binary    string // SHA-256 of the installed program; empty if the service has none
	Processes map[string]Status
}

// Status is the state of one process.
type Status struct {
	Up    bool
	PID   int
	Since time.Time // of the last change of state
}

// Inspect compares a service with its manifest. It changes nothing and is fast enough for every plan. An absent service
// is not an error: Present is false.
func (d *Directory) Inspect(ctx context.Context, name string) (Inspection, error) {
	return Inspection{}, errors.New("not yet")
}

// Services lists the services in the folder, also half-made ones.
func (d *Directory) Services() ([]string, error) { return nil, errors.New("not yet") }

// Stop ends a service's processes (TERM, each at most its StopWait, then KILL with all leftovers) and leaves its files.
// The next Converge starts it again.
func (d *Directory) Stop(ctx context.Context, name string) error { return errors.New("not yet") }

// Withdraw stops a service and removes its folder, its logs and the binaries that nobody else uses. A service that is
// not there is no error.
func (d *Directory) Withdraw(ctx context.Context, name string) error { return errors.New("not yet") }

// Release removes the supervisor and the folder once no service, no credentials file and no image is left in it. It
// says whether the folder is gone.
func (d *Directory) Release(ctx context.Context) (gone bool, err error) { return false, errors.New("not yet") }

// Sweep removes a stack of which nothing is known but its folder: it ends every process that bears the folder's mark,
// and only those, and removes the folder. A folder without our mark is ErrForeign; an absent one is no error, but
// processes that bear its mark are ended all the same.
func Sweep(ctx context.Context, path string) error { return errors.New("not yet") }
