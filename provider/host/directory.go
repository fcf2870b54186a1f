package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
)

// Options say where a stack is to live.
type Options struct {
	Path    string // absolute
	Stack   string // the stack's name: lower case letters, digits and dashes
	Account Account
	// System has systemd run the processes, as units of this machine, instead of a supervisor of the stack's own. Only root can
	// have that.
	System bool
}

// Directory is a stack's folder. It holds no open files and no lock, needs no Close, and may be used by several
// goroutines; processes on one folder take turns by flock.
type Directory struct {
	path    string // without symbolic links, so that it is the same in every process's environment
	stack   string
	account Account
	base    int // the first port of the block
	amqp    int
	system  bool // systemd runs the processes
	anyUser bool // look at the processes of all users but root: for a folder that is gone
}

// The longest path that is allowed. What lies below it (a testbed's files, a store's objects) is itself up to some
// hundred bytes deep, and several programs keep paths in buffers of 1 KiB.
const pathLimit = 200

// Paths end up in shell scripts, INI files and Erlang terms of programs that are not ours. Each has its own idea of
// quoting, so nothing that would need any is let in.
var (
	goodPath  = regexp.MustCompile(`^/[A-Za-z0-9/._+@~-]*$`)
	goodStack = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
)

func checkNames(path, stack string) error {
	wrong := func(thing, cause, wayOut string) error {
		return &Problem{Kind: ErrInvalid, Thing: thing, Cause: cause, WayOut: wayOut}
	}
	folder := fmt.Sprintf("the folder %q", path)
	switch {
	case !filepath.IsAbs(path):
		return wrong(folder, "is not an absolute path", "Begin it with a slash; in Terraform: abspath(\"...\").")
	case !goodPath.MatchString(path):
		return wrong(folder, "has a character that some service cannot cope with",
			"Use letters, digits and . _ + @ ~ - only.")
	case len(path) > pathLimit:
		return wrong(folder, fmt.Sprintf("is %d bytes long; %d are possible", len(path), pathLimit), "Use a shorter one.")
	case filepath.Clean(path) == "/":
		return wrong(folder, "is the root of the file system", "Name a folder below it.")
	case !goodStack.MatchString(stack):
		return wrong(fmt.Sprintf("the stack's name %q", stack), "is not usable",
			"Use up to 32 lower case letters, digits and dashes.")
	}
	return nil
}

// canonical resolves symbolic links as far as the path exists.
func canonical(path string) (string, error) {
	path = filepath.Clean(path)
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && path != "/" {
		parent, err := canonical(filepath.Dir(path))
		return filepath.Join(parent, filepath.Base(path)), err
	}
	if errors.Is(err, fs.ErrPermission) {
		return path, nil // whoever goes on with it is told which folder blocks
	}
	return resolved, err
}

// Open finds a stack's folder and never changes anything. Without one the error is ErrAbsent; ErrForeign if another
// stack's or a stranger's.
func Open(path, stack string) (*Directory, error) {
	if err := checkNames(path, stack); err != nil {
		return nil, err
	}
	d, m, err := find(path)
	if err != nil {
		return nil, err
	}
	if err := m.belongsTo(stack, d.path); err != nil {
		return nil, err
	}
	return d, nil
}

// find reads the mark of whatever stack is in the folder.
func find(path string) (*Directory, mark, error) {
	path, err := canonical(path)
	if err != nil {
		return nil, mark{}, fmt.Errorf("look for the stack's folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark{}, absent(path)
	}
	if err != nil {
		return nil, mark{}, foreign(path, "cannot be opened", err)
	}
	defer root.Close()
	m, err := readMark(root, path)
	if err != nil {
		return nil, mark{}, err
	}
	account, err := holder(root, path)
	if err != nil {
		return nil, mark{}, err
	}
	return &Directory{path: path, stack: m.Stack, account: account, system: m.system(), base: m.Ports.Base, amqp: m.Ports.AMQP}, m, nil
}

// holder is the account that owns the folder. The owner counts and not what the mark says: the mark can be written by
// the account, and root acts in the name of whom it finds here.
func holder(root *os.Root, path string) (Account, error) {
	info, err := root.Stat(".")
	if err != nil {
		return Account{}, fmt.Errorf("look at the folder %s: %w", path, err)
	}
	owner := ownerOf(info)
	account, err := accountOf(user.LookupId(strconv.Itoa(owner)))
	if unknown := user.UnknownUserIdError(0); errors.As(err, &unknown) {
		// The account was removed before its stack. What it left can still be swept.
		account, err = Account{Name: strconv.Itoa(owner), UID: owner, GID: owner, Home: "/"}, nil
	}
	if err != nil {
		return Account{}, err
	}
	self := os.Geteuid()
	if owner == 0 || self != 0 && self != owner {
		return Account{}, &Problem{Kind: ErrAccount, Thing: "the folder " + path,
			Cause:  fmt.Sprintf("belongs to %q, whose services you may not manage", account.Name),
			WayOut: fmt.Sprintf("Run this as %q or as root, or use another folder.", account.Name)}
	}
	return account, nil
}

// Path joins elements to the folder's own path.
func (d *Directory) Path(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// ServicePath is a path inside the folder of a service.
func (d *Directory) ServicePath(service string, elem ...string) string {
	return d.Path(append([]string{"services", service}, elem...)...)
}

// LogPath is the log that the named process writes now.
func (d *Directory) LogPath(process string) string { return d.Path("log", process, "current") }

// Stack is the stack's name.
func (d *Directory) Stack() string { return d.stack }

// System says whether systemd runs the processes.
func (d *Directory) System() bool { return d.system }

// Account is who owns the folder and runs the processes.
func (d *Directory) Account() Account { return d.account }

// Port is the stack's port for a role, on 127.0.0.1.
func (d *Directory) Port(role Role) int { return d.base + int(role) }

// Address is the stack's own loopback address, 127.77.x.y. Only AMQP listens there.
func (d *Directory) Address() string {
	block := (d.base - firstPort) / blockSize
	return netip.AddrFrom4([4]byte{127, 77, byte(block >> 8), byte(block)}).String()
}

// AMQP is where the stack's broker listens: the stack's own address with the standard port. Where something on this
// machine already held that port for all addresses when the folder was made, standard is false and the port is
// [RoleAMQPFallback]'s: then britney, which ignores a port in its broker's address, cannot reach this broker.
func (d *Directory) AMQP() (address string, port int, standard bool) {
	return d.Address(), d.amqp, d.amqp == AMQPPort
}
