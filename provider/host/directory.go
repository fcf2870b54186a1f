package host

import (
	"context"
	"errors"
	"io/fs"
)

// Options say where a stack is to live.
type Options struct {
	Path    string // absolute
	Stack   string // the stack's name: lower case letters, digits and dashes
	Account Account
}

// Directory is a stack's folder. It holds no open files and no lock, needs no Close, and may be used by several
// goroutines; processes on one folder take turns by flock.
type Directory struct {
	path    string
	stack   string
	account Account
	base    int
	amqp    int
}

// Create makes the folder, or adopts the one that is there when it bears this stack's mark. Anything else in its place
// is ErrForeign; a folder that the account cannot reach is ErrUnreachable, one without 1 GiB of room ErrNoSpace.
func Create(ctx context.Context, o Options) (*Directory, error) { return nil, errors.New("not yet") }

// Open finds a stack's folder and never changes anything. Without one the error is ErrAbsent; ErrForeign if another
// stack's or a stranger's.
func Open(path, stack string) (*Directory, error) { return nil, errors.New("not yet") }

// Path joins elements to the folder's own path.
func (d *Directory) Path(elem ...string) string { return "" }

// ServicePath is a path inside the folder of a service.
func (d *Directory) ServicePath(service string, elem ...string) string { return "" }

// LogPath is the log that the named process writes now.
func (d *Directory) LogPath(process string) string { return "" }

// Stack is the stack's name.
func (d *Directory) Stack() string { return d.stack }

// Account is who owns the folder and runs the processes.
func (d *Directory) Account() Account { return d.account }

// Port is the stack's port for a role, on 127.0.0.1.
func (d *Directory) Port(role Role) int { return 0 }

// Address is the stack's own loopback address, 127.77.x.y. Only AMQP listens there.
func (d *Directory) Address() string { return "" }

// AMQP is where the stack's broker listens: the stack's own address with the standard port. Where something on this
// machine already held that port for all addresses when the folder was made, standard is false and the port is
// [RoleAMQPFallback]'s: then britney, which ignores a port in its broker's address, cannot reach this broker.
func (d *Directory) AMQP() (address string, port int, standard bool) { return "", 0, false }

// WriteFile makes the named file hold data, in one step, with the account as its owner. It says whether anything had
// to be changed. Missing folders on the way are made. The name is relative to the folder.
func (d *Directory) WriteFile(name string, data []byte, perm fs.FileMode) (changed bool, err error) {
	return false, errors.New("not yet")
}

// WriteFileFor is [Directory.WriteFile] for a file with another owner, such as the credentials of britney's account.
// An empty owner is the account. Only root can give files away; otherwise the error is ErrAccount.
func (d *Directory) WriteFileFor(name string, data []byte, perm fs.FileMode, owner string) (changed bool, err error) {
	return false, errors.New("not yet")
}

// MkdirAll makes a folder and its parents, owned by the account.
func (d *Directory) MkdirAll(name string, perm fs.FileMode) error { return errors.New("not yet") }

// ReadFile reads a file below the folder. A missing one is fs.ErrNotExist.
func (d *Directory) ReadFile(name string) ([]byte, error) { return nil, errors.New("not yet") }

// Exists says whether there is something of that name below the folder.
func (d *Directory) Exists(name string) bool { return false }

// Remove removes a file or a whole folder below the folder, also one whose files belong to the account's subordinate
// ids. What is not there is no error.
func (d *Directory) Remove(ctx context.Context, name string) error { return errors.New("not yet") }
