package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// The files of autopkgtest's output that result.tar is made of, and the ones that we add.
const (
	logFile             = "log"
	versionFile         = "testpkg-version"
	summaryFile         = "summary"
	testInfoFile        = "testinfo.json"
	testbedPackagesFile = "testbed-packages"
	exitCodeFile        = "exitcode"
	durationFile        = "duration"
	requesterFile       = "requester"
)

// maxFile bounds each of these files: a member of result.tar that is larger would not be read again. Real ones are below
// 1 MiB.
const maxFile = 8 << 20

// collect turns autopkgtest's output into a parcel, ready to be spooled. It works on the disk alone; when that is full, it
// waits for space.
func (l *life) collect(ctx context.Context) State {
	done := l.persist(ctx, "packing the result", never, func(context.Context) error {
		last := l.attempts[len(l.attempts)-1]
		outcome, err := l.readOutput(last)
		if err != nil {
			return err
		}
		packed, err := l.pack(last, outcome)
		if err != nil {
			return err
		}
		l.result, l.parcel = outcome, packed
		return nil
	})
	if !done {
		return Handback
	}
	return Spool
}

// readOutput makes the result of an attempt.
func (l *life) readOutput(a attempt) (result.Result, error) {
	root, err := os.OpenRoot(a.folder)
	if err != nil {
		return result.Result{}, fmt.Errorf("open autopkgtest's output: %w", err)
	}
	defer func() { _ = root.Close() }()
	r := result.Result{
		ExitCode: a.published(), Source: l.request.Package, Duration: a.outcome.Duration.Round(time.Second),
		Requester: l.request.Requester, Triggers: l.request.Triggers, Env: l.request.Env, Handle: l.id,
	}
	if !l.secretBody() {
		r.Request = l.delivery.Body
	}
	var version []byte
	for name, content := range map[string]*[]byte{
		versionFile: &version, summaryFile: &r.Summary, testInfoFile: &r.TestInfo, testbedPackagesFile: &r.TestbedPackages,
	} {
		if *content, err = readFile(root, name); err != nil {
			return result.Result{}, err
		}
	}
	if fields := strings.Fields(string(version)); len(fields) == 2 && sourceName.MatchString(fields[0]) {
		r.Source, r.Version = fields[0], fields[1]
	}
	return r, nil
}

var sourceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]*$`)

// secretBody says whether the request's body holds a password. The result is for more readers than the request is.
func (l *life) secretBody() bool {
	return slices.ContainsFunc(l.request.PPAs, func(ppa string) bool { return strings.Contains(ppa, "@") })
}

// readFile reads one of autopkgtest's files. It returns nothing for one that is missing, is not a file, or is too large to
// be what it should be: a test can make anything.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at autopkgtest's output: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, nil
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read autopkgtest's output: %w", err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read autopkgtest's output: %w", err)
	}
	return content, nil
}

// pack makes the objects that are stored. It begins anew each time, so that it can be called again after a failure.
func (l *life) pack(a attempt, outcome result.Result) (parcel, error) {
	p := parcel{
		folder: l.worker.spool.draft(l.id),
		queue:  l.delivery.Queue, pkg: l.request.Package, body: l.delivery.Body,
		container: result.Container(l.delivery.Queue.Release, l.request.PPAs, l.request.Private()),
		public:    !l.request.Private(), readers: readers(l.request),
	}
	if err := os.RemoveAll(p.folder); err != nil {
		return parcel{}, fmt.Errorf("clear the parcel: %w", err)
	}
	if err := os.Mkdir(p.folder, 0o700); err != nil {
		return parcel{}, fmt.Errorf("make the parcel: %w", err)
	}
	root, err := os.OpenRoot(a.folder)
	if err != nil {
		return parcel{}, fmt.Errorf("open autopkgtest's output: %w", err)
	}
	defer func() { _ = root.Close() }()

	extra, err := beside(root)
	if err != nil {
		return parcel{}, err
	}
	if err := p.addLog(root, l.remark(), l.worker.settings.Limits.Log); err != nil {
		return parcel{}, err
	}
	if err := l.addFiles(root, outcome); err != nil {
		return parcel{}, err
	}
	if extra || len(l.attempts) > 1 {
		if err := p.addArtifacts(root, l.attempts[:len(l.attempts)-1], l.worker.settings.Limits.Log, l.log); err != nil {
			return parcel{}, err
		}
	}
	if len(l.request.ReadableBy) > 0 && l.request.Private() {
		if err := p.addBytes(result.ReadableObject, []byte(strings.Join(l.request.ReadableBy, "\n")+"\n")); err != nil {
			return parcel{}, err
		}
	}
	var tar bytes.Buffer
	if err := outcome.WriteTar(&tar); err != nil {
		return parcel{}, err
	}
	return p, p.addBytes(result.TarObject, tar.Bytes())
}

// remark is what the log says about earlier attempts.
func (l *life) remark() string {
	text := ""
	if unsound := l.attempts[len(l.attempts)-1].unsound; unsound != nil {
		text = fmt.Sprintf("autopkgtest-cloud: testbed failure: at this time its canary failed: %s\n", firstLine(unsound))
	}
	if len(l.attempts) < 2 {
		return text
	}
	return text + fmt.Sprintf("autopkgtest-cloud: this is attempt %d; the testbed failed before, and the logs of that are in %s\n",
		len(l.attempts), result.ArtifactsObject)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return head([]byte(line))
}

// addFiles puts beside autopkgtest's files what it does not write itself.
func (l *life) addFiles(root *os.Root, outcome result.Result) error {
	files := map[string]string{
		exitCodeFile: strconv.Itoa(outcome.ExitCode),
		durationFile: strconv.FormatInt(int64(outcome.Duration/time.Second), 10),
	}
	if outcome.Requester != "" {
		files[requesterFile] = outcome.Requester
	}
	for name, text := range files {
		if err := root.RemoveAll(name); err != nil { // whatever a test has put there
			return fmt.Errorf("make room for %s: %w", name, err)
		}
		if err := root.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// beside reports whether autopkgtest wrote anything but its log.
func beside(root *os.Root) (bool, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return false, fmt.Errorf("list autopkgtest's output: %w", err)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !slices.Contains([]string{logFile, exitCodeFile, durationFile, requesterFile}, e.Name())
	}), nil
}
