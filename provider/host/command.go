package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// searchPath is where programs are found, whatever the environment of the deploying user says.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// pipeWait bounds the wait for pipes that a background child of an ended command still holds.
const pipeWait = time.Second

// Command is a program that runs to its end as the stack's account.
type Command struct {
	Argv   []string
	Env    []string // added to PATH, HOME, LANG and our marks; a later entry wins
	Dir    string   // absolute; the stack's folder when empty
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer // a copy of what the error quotes the end of; may be nil
	// Group is a name by which EndCommands finds it; may be empty.
	Group string
}

// Run runs a command as the account, in a session of its own and with no descriptor but the standard three. When the
// context ends, the whole process group is killed; whatever the command leaves behind is ended in any case. An error
// carries the end of what the program wrote to stderr.
func (d *Directory) Run(ctx context.Context, c Command) error {
	if len(c.Argv) == 0 {
		return &Problem{Kind: ErrInvalid, Thing: "a command", Cause: "has no program"}
	}
	program, err := lookPath(c.Argv[0])
	if err != nil {
		return err
	}
	// The name is this run's own: it tells its leftovers from those of another run.
	name := groupMark(c.Group) + strings.ToLower(rand.Text())
	said := &tail{limit: 4 << 10}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args = c.Argv
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = d.path
	}
	cmd.Env = append(d.environment(name, d.account.Home), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, said
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(said, c.Stderr)
	}
	cmd.SysProcAttr = d.account.attributes()
	end := func() error {
		return d.end(context.WithoutCancel(ctx), 0, func(_ snapshot, p process) bool { return p.mark == name })
	}
	cmd.Cancel = func() error { return errors.Join(syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL), end()) }
	cmd.WaitDelay = pipeWait
	if err := closeOnExec(); err != nil {
		return err
	}
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; who still holds its pipes is ended now
	}
	err = errors.Join(err, end())
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w%s", shorten(strings.Join(c.Argv, " ")), err, said)
	}
	return nil
}

// groupMark begins the ProcessMark of the commands of a group.
func groupMark(group string) string { return "run/" + group + "/" }

// EndCommands kills what runs of the group's commands. It is for those of a caller that was killed itself, and so could not end them:
// call it under a lock that all callers of the group take.
func (d *Directory) EndCommands(ctx context.Context, group string) error {
	return d.end(ctx, 0, func(_ snapshot, p process) bool { return strings.HasPrefix(p.mark, groupMark(group)) })
}

// environment is what every process of the stack begins with. Nothing is taken from ours, which may be a Terraform
// run's with credentials in it.
func (d *Directory) environment(process, home string) []string {
	return []string{
		"PATH=" + searchPath,
		"HOME=" + home,
		"USER=" + d.account.Name,
		"LOGNAME=" + d.account.Name,
		"LANG=C.UTF-8",
		DirectoryMark + "=" + d.path,
		ProcessMark + "=" + process,
	}
}

// lookPath finds a program in searchPath.
func lookPath(program string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, folder := range strings.Split(searchPath, ":") {
		path, err := exec.LookPath(filepath.Join(folder, program))
		if err == nil {
			return path, nil
		}
	}
	return "", &Problem{Kind: ErrMissing, Thing: "the program " + program, Cause: "is not installed", Err: fs.ErrNotExist,
		WayOut: "scripts/setup installs what is needed."}
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.kept = append(t.kept, data...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(data), nil
}

// String is the kept text as the end of an error message.
func (t *tail) String() string {
	if text := bytes.TrimSpace(t.kept); len(text) > 0 {
		return ": " + string(text)
	}
	return ""
}

func shorten(text string) string {
	const limit = 200
	if len(text) > limit {
		return text[:limit] + "…"
	}
	return text
}
