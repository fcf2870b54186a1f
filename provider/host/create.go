package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Room that must be left on the file system. A new stack is refused where it would soon fill the disk; one that is
// there is still repaired as long as its small files can be written.
const (
	roomToStart  = 1 << 30
	roomToRepair = 64 << 20
)

// probePrefix begins the name of the file by which we try whether the account can write.
const probePrefix = ".autopkgtest-cloud-probe-"

// Create makes the folder, or adopts the one that is there when it bears this stack's mark. Anything else in its place
// is ErrForeign; a folder that the account cannot reach is ErrUnreachable, one without 1 GiB of room ErrNoSpace.
func Create(ctx context.Context, o Options) (*Directory, error) {
	return create(ctx, o, freeSpace)
}

func create(ctx context.Context, o Options, free func(path string) (uint64, error)) (*Directory, error) {
	if err := checkNames(o.Path, o.Stack); err != nil {
		return nil, err
	}
	if o.Account.UID == 0 || o.Account.Name == "" {
		return nil, &Problem{Kind: ErrAccount, Thing: "the stack " + o.Stack, Cause: "has no account to run as, or root",
			WayOut: "Use the account that Choose gives."}
	}
	if o.System {
		if err := CheckSystem(); err != nil {
			return nil, err
		}
	}
	path, err := canonical(o.Path)
	if err != nil {
		return nil, fmt.Errorf("look for the stack's folder: %w", err)
	}
	d := &Directory{path: path, stack: o.Stack, account: o.Account, system: o.System}
	there := existing(path) == path
	if err := d.makeFolder(ctx); err != nil {
		return nil, err
	}
	if err := d.refuseForeign(); err != nil {
		return nil, err
	}
	err = d.reach(ctx, d.path)
	if err == nil {
		err = d.claim(ctx, free)
	}
	if err != nil {
		d.abandon(there)
		return nil, err
	}
	return d, nil
}

// abandon takes away what a refused Create has made: its lock, and the folder unless that was there before. Whoever has
// begun to use the folder meanwhile keeps it.
func (d *Directory) abandon(there bool) {
	lock, err := d.tryLock(lockStructure)
	if err != nil || lock == nil {
		return
	}
	defer unlockFile(lock)
	root, err := d.open()
	if err != nil {
		return
	}
	defer root.Close()
	if blank, err := isBlank(root); err != nil || !blank {
		return
	}
	_ = root.Remove(lockStructure)
	if !there {
		_ = os.Remove(d.path) // refused while anything is in it
	}
}

// makeFolder makes the folder and gives it to the account. The account makes it itself where it can: root then never
// writes where somebody else could have put a symbolic link a moment before.
func (d *Directory) makeFolder(ctx context.Context) error {
	info, err := os.Lstat(d.path)
	if err == nil {
		return d.takeOver(info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return d.reach(ctx, existing(d.path))
	}
	said, err := d.try(ctx, `umask 022; mkdir -p -- "$1"`, d.path)
	if err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return cmp.Or(d.reach(ctx, existing(d.path)), d.unreachable(existing(d.path), errors.New(said)))
	}
	var missing []string
	for path, there := d.path, existing(d.path); path != there; path = filepath.Dir(path) {
		missing = append(missing, path)
	}
	for _, path := range slices.Backward(missing) {
		if err := errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o755)); err != nil {
			return d.unreachable(path, err)
		}
	}
	if info, err = os.Lstat(d.path); err != nil {
		return d.unreachable(d.path, err)
	}
	return d.takeOver(info)
}

// existing is the path's deepest part that is there, as far as we can see.
func existing(path string) string {
	for path != "/" {
		if _, err := os.Lstat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// takeOver looks at the folder that is there. An empty one that root made is given to the account.
func (d *Directory) takeOver(info fs.FileInfo) error {
	if !info.IsDir() {
		return foreign(d.path, "is not a folder", nil)
	}
	if ownerOf(info) == d.account.UID {
		return nil
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return d.unreachable(d.path, err)
	}
	defer root.Close()
	if m, err := readMark(root, d.path); !errors.Is(err, ErrAbsent) {
		return errors.Join(err, m.belongsTo(d.stack, d.path), &Problem{Kind: ErrAccount, Thing: "the folder " + d.path,
			Cause:  fmt.Sprintf("belongs to user id %d, not to %q", ownerOf(info), d.account.Name),
			WayOut: "Deploy as the account that owns it, or use another folder."})
	}
	if os.Geteuid() != 0 || ownerOf(info) != 0 {
		return d.unreachable(d.path, fmt.Errorf("it belongs to user id %d", ownerOf(info)))
	}
	handle, err := root.Open(".")
	if err != nil {
		return d.unreachable(d.path, err)
	}
	defer handle.Close()
	if err := handle.Chown(d.account.UID, d.account.GID); err != nil {
		return d.unreachable(d.path, err)
	}
	return nil
}

// refuseForeign looks before anything is written: not even a lock belongs into a folder that is not ours.
func (d *Directory) refuseForeign() error {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrPermission) {
		return nil // reach says who cannot enter what
	}
	if err != nil {
		return fmt.Errorf("open the stack's folder: %w", err)
	}
	defer root.Close()
	m, err := readMark(root, d.path)
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.belongsTo(d.stack, d.path)
}

// reach tries, as the account, to enter each folder on the way and to write into the last one. Only a trial takes every
// mode, access list and mount option into account.
func (d *Directory) reach(ctx context.Context, path string) error {
	ancestors := []string{path}
	for parent := path; parent != "/"; ancestors = append(ancestors, parent) {
		parent = filepath.Dir(parent)
	}
	slices.Reverse(ancestors)
	const script = `for d do last=$d; cd -- "$d" 2>&1 || { echo "=$d"; exit 1; }; done
		t=$(mktemp ` + probePrefix + `XXXXXX 2>&1) || { echo "$t"; echo "=$last"; exit 1; }
		rm -f -- "$t"`
	said, err := d.try(ctx, script, ancestors...)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	reason, blocker, found := strings.Cut(said, "=")
	if !found {
		return d.unreachable(path, errors.Join(err, errors.New(said)))
	}
	return d.unreachable(strings.TrimSpace(blocker), errors.New(strings.TrimSpace(reason)))
}

func (d *Directory) unreachable(blocker string, err error) error {
	return &Problem{Kind: ErrUnreachable, Thing: "the folder " + d.path,
		Cause: fmt.Sprintf("cannot be used by %q: %s stands in the way", d.account.Name, blocker), Err: err,
		WayOut: fmt.Sprintf("Use a folder below one that %q may write to and whose parents it may enter (such as %s), "+
			"or open %s to it: setfacl -m u:%s:x for a parent, chown for the folder itself.",
			d.account.Name, d.account.Home, blocker, d.account.Name)}
}

// try runs a small shell script as the account, from the root of the file system, and returns what it printed.
func (d *Directory) try(ctx context.Context, script string, arguments ...string) (string, error) {
	if err := closeOnExec(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, "sh"}, arguments...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, "LANG=C.UTF-8"}
	cmd.SysProcAttr = d.account.attributes()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // otherwise it says only that the shell was killed
	}
	return said.String(), err
}

// claim reads the mark or sets it. Two that come at the same time take turns.
func (d *Directory) claim(ctx context.Context, free func(path string) (uint64, error)) error {
	unlock, err := d.lock(ctx, lockStructure)
	if err != nil {
		return err
	}
	defer unlock()
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	room := uint64(roomToRepair)
	m, err := readMark(root, d.path)
	isNew := errors.Is(err, ErrAbsent)
	switch {
	case isNew:
		room = roomToStart
	case err != nil:
		return err
	}
	if left, err := free(d.path); err != nil {
		return err
	} else if left < room {
		return &Problem{Kind: ErrNoSpace, Thing: "the file system of " + d.path,
			Cause:  fmt.Sprintf("has %d MiB left, and %d are needed", left>>20, room>>20),
			WayOut: "Make room on it, or use a folder on another one."}
	}
	if isNew {
		return d.setMark()
	}
	d.base, d.amqp = m.Ports.Base, m.Ports.AMQP
	return errors.Join(m.belongsTo(d.stack, d.path), m.supervisedAs(d.system, d.path))
}

func (d *Directory) setMark() error {
	var err error
	if d.base, err = chooseBlock(d.path); err != nil {
		return err
	}
	d.amqp = AMQPPort
	if CheckPort(d.Address(), AMQPPort) != nil {
		d.amqp = d.Port(RoleAMQPFallback)
	}
	m := mark{Project: project, Stack: d.stack, Format: markFormat, Account: d.account.Name,
		Ports: markPorts{Base: d.base, AMQP: d.amqp}, Created: time.Now().UTC().Truncate(time.Second)}
	if d.system {
		m.Format, m.Supervision = systemFormat, supervisedBySystemd
	}
	data, err := m.bytes()
	if err != nil {
		return err
	}
	_, err = d.WriteFile(markName, data, 0o644)
	return err
}

func freeSpace(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("ask how much room %s has: %w", path, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
