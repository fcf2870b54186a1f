package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// The places of a run's folders as autopkgtest sees them. They stand in the public log: they say nothing of this machine.
const (
	outputInside   = "/out"
	imagesInside   = "/images"
	sourceInside   = "/source"
	checkoutInside = "/checkout"
	setupInside    = "/setup" // what autopkgtest copies into the testbed
	emptyInside    = "/cwd"   // autopkgtest takes a name for a folder before it takes it for a package
)

// checkoutProgram is autopkgtest in a checkout of its source.
const checkoutProgram = "runner/autopkgtest"

// errTimeout is the cause of the end of a run that took longer than its limit.
var errTimeout = errors.New("the run took longer than its limit")

// scratch is the folder below Job.WorkDir that a run makes and removes.
const scratch = "testbed"

func (r *Runner) run(ctx context.Context, job Job, log *slog.Logger) (outcome Outcome, err error) {
	if r.backend.Properties().Imageless {
		job.Image = ""
	}
	testbed := r.testbed(job)
	r.testbeds.add(testbed.Name)
	defer r.testbeds.remove(testbed.Name) // the last of all: until then, nobody else is to clean up after it
	invocation, err := r.invocation(job, testbed)
	if err != nil {
		return Outcome{}, err
	}
	argv, err := invocation.Arguments()
	if err != nil {
		return Outcome{}, err
	}
	furniture, err := r.furnish(testbed)
	if err != nil {
		return Outcome{}, err
	}
	folder := filepath.Join(job.WorkDir, scratch)
	if err := makeScratch(folder, job.Limits.Disk, invocation.Sources.Copies); err != nil {
		return Outcome{}, err
	}
	defer func() {
		// Also when the run was cancelled: its rootfs has owners that the account alone cannot remove.
		err = errors.Join(err, clean(context.WithoutCancel(ctx), r.ahead, folder, job.OutputDir, log))
	}()
	view, release, err := r.view(ctx, job, testbed, furniture, folder)
	if err != nil {
		return Outcome{}, err
	}
	defer release()
	mark, err := filepath.Abs(job.WorkDir)
	if err != nil {
		return Outcome{}, err
	}
	command := confinement{
		inside: insideConfig{Argv: withScript(furniture.Script, argv), Env: furniture.environment(),
			Dir: emptyInside, Tree: &view, Limits: job.Limits, Files: slices.Concat([]string{"/tmp", outputInside}, furniture.Folders)},
		privileged: r.backend.Properties().Privileged, plain: r.backend.Properties().OnMachine, mark: mark,
		grace: job.Grace, ended: job.Ended, ahead: r.ahead, log: log,
	}
	if !command.plain {
		gate, err := r.filter(ctx, job.Image, log)
		if err != nil {
			return Outcome{}, err
		}
		r.joinNetwork(&command, gate)
	}
	return execute(ctx, job, command, log)
}

// CommandLine is what Run would execute for a job, with the program and the folders as it sees them. It reads what is
// known of the image and the signing keys of PPAs, and changes nothing.
func (r *Runner) CommandLine(job Job) ([]string, error) {
	invocation, err := r.invocation(job, r.testbed(job))
	if err != nil {
		return nil, err
	}
	return invocation.Arguments()
}

// testbed is a new one for a job.
func (r *Runner) testbed(job Job) Testbed {
	t := Testbed{
		Release: job.Queue.Release, Architecture: job.Queue.Architecture, Name: testbedName(),
		Worker: r.worker, Run: job.Handle, Package: job.Request.Package,
	}
	if len(job.BackendArguments) > 0 {
		t.Given = append([]string{}, job.BackendArguments[1:]...)
	}
	if job.Image != "" {
		t.Image = filepath.Join(imagesInside, filepath.Base(job.Image))
	}
	return t
}

// invocation is a job's, in a testbed of this runner.
func (r *Runner) invocation(job Job, testbed Testbed) (Invocation, error) {
	if len(job.BackendArguments) > 0 && job.BackendArguments[0] != r.backend.Name() {
		return Invocation{}, fmt.Errorf("the arguments for the testbed begin with %q, but the backend is %s",
			job.BackendArguments[0], r.backend.Name())
	}
	var err error
	info := ImageInfo{Architecture: job.TestbedArchitecture, Pockets: usualPockets(job.Queue.Release)}
	if job.Image != "" {
		if info, err = DescribeImage(job.Image); err != nil {
			return Invocation{}, err
		}
	}
	invocation := Invocation{
		Program: r.program, OutputDir: outputInside, Request: job.Request, Queue: job.Queue,
		ExtraArguments: job.ExtraArguments, SetupCommands: job.SetupCommands, Pockets: info.Pockets,
		TestbedArchitecture: info.Architecture, Features: r.features,
		Timeouts: DefaultTimeouts.For(job.Queue.Architecture, job.Traits).Stretched(r.backend.Properties().Stretch),
		Debug:    job.Debug, Backend: r.backend.Arguments(testbed), User: r.backend.Properties().User,
	}
	if invocation.Sources, err = sourcesOf(job.Request.PPAs, job.Queue.Release, job.PPA, r.features); err != nil {
		return Invocation{}, err
	}
	if job.Source != "" {
		invocation.Source = filepath.Join(sourceInside, filepath.Base(job.Source))
	}
	return invocation, nil
}

// view is the file tree of a run. release is called when the run is over.
func (r *Runner) view(ctx context.Context, job Job, t Testbed, furniture Furniture, folder string) (tree, func(), error) {
	properties, release := r.backend.Properties(), func() {}
	view := systemTree(filepath.Join(folder, "root"))
	if properties.OnMachine {
		var err error
		if view, err = machineTree(view.At, folder); err != nil {
			return tree{}, nil, fmt.Errorf("look at this machine's files: %w", err)
		}
	}
	view.Dirs = append(view.Dirs, emptyInside)
	view.Binds = append(view.Binds,
		bind{From: filepath.Join(folder, "tmp"), To: "/tmp", Write: true},
		bind{From: job.OutputDir, To: outputInside, Write: true})
	if job.Image != "" {
		view.Binds = append(view.Binds, bind{From: job.Image, To: filepath.Join(imagesInside, filepath.Base(job.Image))})
	}
	if setup := filepath.Join(folder, setupFolder); exists(setup) {
		view.Binds = append(view.Binds, bind{From: setup, To: setupInside})
	}
	if r.checkout != "" {
		view.Binds = append(view.Binds, bind{From: r.checkout, To: checkoutInside})
	}
	if job.Source != "" {
		view.Binds = append(view.Binds, bind{From: job.Source, To: filepath.Join(sourceInside, filepath.Base(job.Source))})
	}
	for _, given := range t.Given { // the operator's files are where he says that they are
		if _, err := os.Stat(given); err == nil && filepath.IsAbs(given) && filepath.Clean(given) != "/" {
			view.Binds = append(view.Binds, bind{From: given, To: given})
		}
	}
	if properties.Privileged {
		view.Privileged = true
		for _, folder := range properties.Folders {
			if _, err := os.Stat(folder); err == nil {
				view.Binds = append(view.Binds, bind{From: folder, To: folder, Write: true})
			}
		}
	}
	own, err := furniture.places(folder)
	if err != nil {
		return tree{}, nil, err
	}
	view.furnish(furniture, own)
	if furniture.Unpack != "" {
		var from string
		if from, release, err = r.unpacked(ctx, job.Image, furniture.Shape); err != nil {
			return tree{}, nil, err
		}
		view.Binds = append(view.Binds, bind{From: from, To: furniture.Unpack})
	}
	if err := r.noteRemains(folder, Remains{Testbed: t, Folders: own}); err != nil {
		release()
		return tree{}, nil, err
	}
	return view, release, nil
}

// execute runs autopkgtest in its namespaces.
func execute(ctx context.Context, job Job, command confinement, log *slog.Logger) (Outcome, error) {
	limited := ctx
	if job.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, job.Timeout, errTimeout)
		defer cancel()
	}
	var said tailWriter
	command.stderr = &said
	if command.grace == 0 {
		command.grace = DefaultGrace
	}
	short := startKeepingLogsShort(ctx, job, log)
	done, err := command.run(limited)
	short()
	outcome := Outcome{ExitCode: done.status.shell(), Duration: done.elapsed}
	var over *exceeded
	if errors.As(err, &over) && ctx.Err() == nil {
		return Outcome{ExitCode: exitStatus{Signal: int(unix.SIGKILL)}.shell(), Duration: done.elapsed, Exceeded: over.String()}, nil
	}
	if err != nil && errors.Is(context.Cause(limited), errTimeout) && ctx.Err() == nil {
		return Outcome{ExitCode: exitStatus{Signal: int(unix.SIGTERM)}.shell(), Duration: job.Timeout, TimedOut: true}, nil
	}
	if _, missing := os.Stat(filepath.Join(job.OutputDir, "log")); err == nil && missing != nil {
		note(job.OutputDir, said.String()) // it did not even get to its own log
	}
	return outcome, err
}

// startKeepingLogsShort returns how to stop it.
func startKeepingLogsShort(ctx context.Context, job Job, log *slog.Logger) (stop func()) {
	if job.Limits.Log <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var keeping sync.WaitGroup
	keeping.Go(func() { keepLogsShort(ctx, job.OutputDir, job.Limits.Log, log) })
	return func() {
		cancel()
		keeping.Wait()
	}
}

// spaceNeeded is for one unpacked testbed and what a test installs.
const spaceNeeded = 2 << 30

// makeScratch makes the folder in which a run unpacks its testbed. Nobody else may enter it: a test can make programs
// in there that run with the account's rights.
func makeScratch(folder string, limit int64, copies []Copy) error {
	for _, dir := range []string{folder, filepath.Join(folder, "tmp"), filepath.Join(folder, "root")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the work folder of a run: %w", err)
		}
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return err
	}
	if err := writeCopies(filepath.Join(folder, setupFolder), copies); err != nil {
		return err
	}
	needed := int64(spaceNeeded)
	if limit > 0 {
		needed = min(needed, limit)
	}
	return CheckSpace(folder, uint64(needed+spaceLeft))
}

// setupFolder holds what is copied into the testbed. It goes with the run's folder.
const setupFolder = "setup"

func writeCopies(folder string, copies []Copy) error {
	if len(copies) == 0 {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of what goes into the testbed: %w", err)
	}
	for _, c := range copies {
		mode := fs.FileMode(0o644) // apt reads keys as somebody else
		if c.Secret {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(folder, c.Name), c.Content, mode); err != nil {
			return fmt.Errorf("write what goes into the testbed: %w", err)
		}
		if err := os.Chmod(filepath.Join(folder, c.Name), mode); err != nil { // whatever the umask is
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ErrSpace means that there is too little space for a testbed.
var ErrSpace = errors.New("too little space on disk")

// CheckSpace fails if a folder's file system has less space than needed, in bytes, or does not let programs run.
func CheckSpace(folder string, needed uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", folder, err)
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%s is mounted noexec: a testbed cannot be unpacked there", folder)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < needed {
		return fmt.Errorf("%w: %s has %d MB free, a testbed needs %d MB: make space there, or choose another folder",
			ErrSpace, folder, free>>20, needed>>20)
	}
	return nil
}

// NamePrefix begins the names of all testbeds of ours, see Testbed.Name.
const NamePrefix = "autopkgtest-"

// testbedName is a new one each time.
func testbedName() string { return NamePrefix + strings.ToLower(rand.Text()[:12]) }
