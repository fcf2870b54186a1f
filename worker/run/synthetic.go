package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Policy decides which requests are not run at all: packages that no testbed survives, releases that an architecture never
// had. Their senders get a result that says so.
type Policy interface {
	// Refuse reports whether tests of a package are not run for a queue, the reason, with whom to ask, and the word that
	// stands for the version: result.Blacklisted for a package, result.Unknown for what can never be run.
	Refuse(q request.Queue, pkg string) (reason string, version string, refuse bool)
}

// exitNeverRun is the code of a result without a run.
const exitNeverRun = 99

// beginning is where the work on a request begins, if it is to be run.
func (l *life) beginning() State {
	if l.worker.settings.Policy == nil {
		return Prepare
	}
	reason, version, refuse := l.worker.settings.Policy.Refuse(l.delivery.Queue, l.request.Package)
	if !refuse {
		return Prepare
	}
	l.declined, l.declinedVersion = reason, version
	return Decline
}

// decline makes the result of a request that is not run. A crash here leaves a folder that the next start removes.
func (l *life) decline(ctx context.Context) State {
	l.log.Info("the request is not run", "reason", l.declined)
	return l.synthesise(ctx, testbed.Outcome{ExitCode: exitNeverRun},
		fmt.Sprintf("%s is not run for %s on %s: %s", l.request.Package, l.delivery.Queue.Release, l.delivery.Queue.Architecture,
			l.declined),
		map[string]string{versionFile: l.request.Package + " " + l.declinedVersion})
}

// abort makes the result of a request that an operator has cancelled: what the test has written so far, and who it was. A
// crash here, or before the result lies in the spool, leaves the request with the broker, and the cancelling undone.
func (l *life) abort(ctx context.Context) State {
	text := "testbed failure: cancelled by " + l.ordered.by
	return l.synthesise(ctx, testbed.Outcome{ExitCode: exitTmpfail, Duration: l.ranFor()}, text,
		map[string]string{summaryFile: text})
}

// synthesise completes the output of an attempt that did not end by itself, or never began, with a last line of the log and
// some files.
func (l *life) synthesise(ctx context.Context, outcome testbed.Outcome, line string, files map[string]string) State {
	done := l.persist(ctx, "writing a result without a run", never, func(context.Context) error {
		folder, err := l.state.makeRun(l.id)
		if err != nil {
			return err
		}
		l.folder = folder
		a := attempt{folder: l.attemptFolder(), outcome: outcome}
		if err := os.MkdirAll(a.folder, 0o755); err != nil {
			return fmt.Errorf("make the output folder: %w", err)
		}
		root, err := os.OpenRoot(a.folder)
		if err != nil {
			return fmt.Errorf("open the output folder: %w", err)
		}
		defer func() { _ = root.Close() }()
		for name, text := range files {
			if err := root.RemoveAll(name); err != nil { // whatever a test has put there
				return fmt.Errorf("make room for %s: %w", name, err)
			}
			if err := root.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
		if err := appendLine(root, line); err != nil {
			return err
		}
		l.attempts = append(l.attempts, a)
		return nil
	})
	if !done {
		return Handback
	}
	return Collect
}

// appendLine adds a last line of ours to the log, on a line of its own. Where a test has put something else there, it goes.
func appendLine(root *os.Root, text string) error {
	info, err := root.Lstat(logFile)
	if err == nil && !info.Mode().IsRegular() {
		err = root.RemoveAll(logFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the log: %w", err)
	}
	file, err := root.OpenFile(logFile, os.O_CREATE|os.O_RDWR|os.O_APPEND|noFollow, 0o644)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	line := fmt.Sprintf("autopkgtest-cloud [%s]: %s\n", time.Now().UTC().Format("15:04:05"), text)
	if !endsLine(file) {
		line = "\n" + line
	}
	_, err = file.WriteString(line)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the log's last line: %w", err)
	}
	return nil
}

// endsLine reports whether a file is empty or ends in a newline.
func endsLine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return true
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return err == nil && last[0] == '\n'
}

// attemptFolder is that of the attempt that is under way.
func (l *life) attemptFolder() string {
	return filepath.Join(l.folder, fmt.Sprintf("attempt-%d", len(l.attempts)+1))
}

// ranFor is how long tests have been running, over all attempts.
func (l *life) ranFor() time.Duration {
	if l.reporter == nil {
		return 0
	}
	return time.Since(l.reporter.began)
}
