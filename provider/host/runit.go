package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// statusSize is the length of supervise/status.
const statusSize = 20

// tai64Epoch is what TAI64 labels add to Unix time, without leap seconds: 2^62 + 10.
const tai64Epoch = 1<<62 + 10

// runsvStatus is what a runsv writes about its process into supervise/status: 20 bytes, in the form that daemontools
// gave it (runit's runsv.c, update_status, and sv.c, svstatus_get, which read and write it):
//
//	 0-11  TAI64N of the last change of state, big-endian
//	12-15  pid, little-endian, 0 when down
//	16     1 when paused
//	17     'u' or 'd': what is wanted
//	18     1 when TERM was sent and the process is still there
//	19     0 down, 1 run, 2 finish
type runsvStatus struct {
	since  time.Time
	pid    int
	wantUp bool
}

func parseStatus(data []byte) (runsvStatus, error) {
	if len(data) != statusSize {
		return runsvStatus{}, fmt.Errorf("a runit status of %d bytes instead of %d", len(data), statusSize)
	}
	seconds := binary.BigEndian.Uint64(data[0:8]) - tai64Epoch
	nanoseconds := binary.BigEndian.Uint32(data[8:12])
	return runsvStatus{
		since:  time.Unix(int64(seconds), int64(nanoseconds)),
		pid:    int(binary.LittleEndian.Uint32(data[12:16])),
		wantUp: data[17] == 'u',
	}, nil
}

// runitFolder is where a process's runit folder is, relative to the stack's.
func runitFolder(service, name string) string {
	return filepath.Join("services", service, "runit", name)
}

// linkTarget is what sv/NAME points to.
func linkTarget(service, name string) string { return filepath.Join("..", runitFolder(service, name)) }

// supervised is one process's runit folder.
type supervised struct {
	d       *Directory
	root    *os.Root
	service string
	name    string
	folder  string
}

// alive says whether a runsv is there, in the way that sv does: only it has the reading end of supervise/ok open.
func (s supervised) alive() bool {
	pipe, err := s.fifo("ok")
	if err != nil {
		return false
	}
	return pipe.Close() == nil
}

func (s supervised) fifo(name string) (*os.File, error) {
	path := filepath.Join(s.folder, "supervise", name)
	info, err := s.root.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a pipe")}
	}
	return s.root.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
}

// status reads what the runsv wrote last. It may be of a runsv that is no more: see alive.
func (s supervised) status() (runsvStatus, error) {
	data, err := readRegular(s.root, filepath.Join(s.folder, "supervise", "status"))
	if err != nil {
		return runsvStatus{}, fmt.Errorf("read the status of process %s: %w", s.name, err)
	}
	return parseStatus(data)
}

// Commands that a runsv takes from supervise/control.
const (
	commandUp   = "u"
	commandDown = "d" // TERM and CONT, and no restart
	commandTerm = "t" // TERM and CONT; it is restarted
	commandKill = "k"
	commandExit = "x" // as down, and then the log and the runsv end too
)

// errNoSupervisor: there is no runsv that could take a command.
var errNoSupervisor = errors.New("it has no supervisor")

func (s supervised) control(command string) error {
	pipe, err := s.fifo("control")
	if errors.Is(err, syscall.ENXIO) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control process %s: %w", s.name, errNoSupervisor)
	}
	if err != nil {
		return fmt.Errorf("control process %s: %w", s.name, err)
	}
	_, err = pipe.Write([]byte(command))
	if err = errors.Join(err, pipe.Close()); err != nil {
		return fmt.Errorf("control process %s: %w", s.name, err)
	}
	return nil
}

// inputs is what the run script on disk starts the process with.
func (s supervised) inputs() string {
	data, err := readRegular(s.root, filepath.Join(s.folder, "run"))
	if err != nil {
		return ""
	}
	return scriptInputs(string(data))
}

// scriptInputs finds the value of inputsMark in a run script.
func scriptInputs(script string) string {
	_, rest, _ := strings.Cut(script, "export "+inputsMark+"='")
	value, _, _ := strings.Cut(rest, "'")
	return value
}
