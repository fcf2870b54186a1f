package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideArgument makes a program the first process of a run. It is not for people: without the socket it only fails.
const insideArgument = "testbed-inside"

// insideControl is the descriptor of the socket, the first one after standard error.
const insideControl = 3

// InsideMain must be called first thing in the main function of every program that uses this package (and in TestMain
// of its tests). In an ordinary process it does nothing. In a process that a Runner has started as the first one of a
// run's namespaces, it does that work and never returns.
func InsideMain() {
	if len(os.Args) != 2 || os.Args[1] != insideArgument {
		return
	}
	unix.CloseOnExec(insideControl)
	control := os.NewFile(insideControl, "control")
	if err := insideRun(control); err != nil {
		_ = send(control, report{Error: err.Error()}) // if nobody listens there is nobody to tell
		os.Exit(1)
	}
	os.Exit(0)
}

// insideRun prepares the namespaces and runs the command. Whatever is left when it returns is killed by the kernel.
func insideRun(control *os.File) error {
	decoder := json.NewDecoder(control)
	var first orders
	if err := decoder.Decode(&first); err != nil {
		return fmt.Errorf("%s is started by a run, not by hand: %w", insideArgument, err)
	}
	if first.Config == nil && first.Network == nil {
		return fmt.Errorf("%s: the first orders have nothing to do", insideArgument)
	}
	unix.Umask(0o022) // what a run sees must not depend on who has started this program
	todo, stop := make(chan orders, 2), make(chan struct{})
	todo <- first
	go obey(decoder, todo, stop)

	var s stage
	for !s.complete() {
		select {
		case next := <-todo:
			if err := s.carryOut(next, control); err != nil {
				return err
			}
		case <-stop:
			return nil
		}
	}
	config := *s.config
	var exit exitStatus
	if len(config.Argv) > 0 {
		var err error
		if exit, err = insideCommand(config, control, stop); err != nil {
			return err
		}
	}
	if config.Tidy != "" {
		if err := tidy(config.Tidy); err != nil {
			return err
		}
	}
	return send(control, report{Exit: &exit})
}

// stage is how far the place for a command is prepared.
type stage struct {
	config  *insideConfig
	network *insideNetwork // the one that there is
}

// complete reports whether the command may begin.
func (s *stage) complete() bool {
	return s.config != nil && (s.config.Network == nil || s.network != nil)
}

// carryOut follows orders, in whatever order they come.
func (s *stage) carryOut(o orders, control io.Writer) error {
	if o.Network != nil && s.network == nil {
		if err := prepareNetwork(*o.Network); err != nil {
			return err
		}
		s.network = o.Network
		if s.config == nil {
			return send(control, report{Ready: true})
		}
	}
	if o.Config == nil || s.config != nil {
		return nil
	}
	if err := prepareMounts(*o.Config); err != nil {
		return err
	}
	if !o.Config.Plain {
		if err := unix.Sethostname([]byte(Hostname)); err != nil {
			return fmt.Errorf("name the namespace: %w", err)
		}
	}
	if wanted := o.Config.Network; wanted != nil && s.network != nil && wanted.Filter != s.network.Filter {
		if err := replaceFilter(wanted.Filter); err != nil {
			return err
		}
	}
	s.config = o.Config
	return nil
}

// obey follows the outside's orders. The end of the socket means that the outside is gone: so is this process, at once,
// and with it everything in its namespaces.
func obey(decoder *json.Decoder, todo chan<- orders, stop chan<- struct{}) {
	stopTold := false
	for {
		var message orders
		if decoder.Decode(&message) != nil {
			os.Exit(1)
		}
		if message.Stop && !stopTold {
			stopTold = true
			close(stop)
		}
		if message.Config == nil && message.Network == nil {
			continue
		}
		select {
		case todo <- message:
		default: // there are but two things to do
		}
	}
}

// insideCommand runs the command in a session of its own and buries the dead: orphans of a process namespace become
// children of its first process.
func insideCommand(config insideConfig, control io.Writer, stop <-chan struct{}) (exitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return exitStatus{}, err
	}
	defer null.Close()
	runtime.LockOSThread() // what follows is a thread's, and the command is started by this one
	defer runtime.UnlockOSThread()
	if err := dropCapabilities(config); err != nil {
		return exitStatus{}, err
	}
	if err := forgetKeys(); err != nil {
		return exitStatus{}, err
	}
	if config.Plain {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return exitStatus{}, fmt.Errorf("give up the rights over the run's namespaces: %w", err)
		}
	}
	pid, err := syscall.ForkExec(config.Argv[0], config.Argv, &syscall.ProcAttr{
		Dir: config.Dir, Env: config.Env, Files: []uintptr{null.Fd(), 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return exitStatus{}, fmt.Errorf("start %s: %w", config.Argv[0], err)
	}
	if err := limitProcess(pid, config.Limits); err != nil {
		return exitStatus{}, err
	}
	if err := send(control, report{Started: true}); err != nil {
		return exitStatus{}, err
	}
	watch{config.Limits, config.Files}.start(control)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-stop:
			// Not its whole group: autopkgtest's last words go through a child of its. What it leaves running, a test
			// for instance, ends with this process.
			_ = unix.Kill(pid, unix.SIGTERM) // an error means that it has ended
		case <-over:
		}
	}()
	for {
		var status unix.WaitStatus
		dead, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return exitStatus{}, fmt.Errorf("wait for %s: %w", config.Argv[0], err)
		}
		switch {
		case dead != pid:
		case status.Signaled():
			return exitStatus{Signal: int(status.Signal())}, nil
		default:
			return exitStatus{Code: status.ExitStatus()}, nil
		}
	}
}

// processesSlack is between the limit at which the run is ended and the kernel's: that one also counts what keeps the run, some
// of which the first process does not see. At the kernel's limit the run must have been seen beyond its own.
const processesSlack = 32

// limitProcess makes the kernel refuse further processes: looking now and then is too slow for a fork bomb. The kernel
// counts those of the user namespaces that the command makes as its own. For root of this machine it counts nothing. A limit that is
// lower already stays, since only root could raise it: small machines have one for each account by themselves.
func limitProcess(pid int, limits Limits) error {
	if limits.Processes <= 0 {
		return nil
	}
	var there unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_NPROC, nil, &there)
	if err == nil {
		most := min(uint64(limits.Processes+processesSlack), there.Max)
		err = unix.Prlimit(pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
	if err != nil {
		return fmt.Errorf("limit the processes of the run to %d: %w", limits.Processes, err)
	}
	return nil
}
