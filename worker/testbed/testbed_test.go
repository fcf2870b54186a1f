package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func TestFindSubordinate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file  string
		first int
		found bool
	}{
		"by name":          {"joe:100000:65536\nrunner:165536:65536\n", 165536, true},
		"by number":        {"joe:100000:65536\n1007:231072:65536\n", 231072, true},
		"exactly enough":   {"runner:1:65535\n", 1, true},
		"too short":        {"runner:100000:65534\n", 0, false},
		"the second range": {"runner:100000:10\nrunner:200000:65536\n", 200000, true},
		"no end of line":   {"runner:100000:65536", 100000, true},
		"somebody else's":  {"runner2:100000:65536\n10071:1:65536\n", 0, false},
		"comments":         {"# runner:1:65536\nrunner:x:65536\nrunner:100000\n\n", 0, false},
		"empty":            {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, found := findSubordinate(strings.NewReader(test.file), "runner", 1007)
			if first != test.first || found != test.found {
				t.Errorf("%d, %v, want %d, %v", first, found, test.first, test.found)
			}
		})
	}
}

func TestExitStatusShell(t *testing.T) {
	t.Parallel()
	for status, want := range map[exitStatus]int{{}: 0, {Code: 20}: 20, {Signal: int(unix.SIGTERM)}: 143, {Signal: int(unix.SIGKILL)}: 137} {
		if got := status.shell(); got != want {
			t.Errorf("%+v: %d, want %d", status, got, want)
		}
	}
}

func TestTailWriter(t *testing.T) {
	t.Parallel()
	var tail tailWriter
	for range 3 * keptBytes {
		if n, err := tail.Write([]byte("ab")); n != 2 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if _, err := tail.Write([]byte(" the end \n")); err != nil {
		t.Fatal(err)
	}
	got := tail.String()
	if len(got) > keptBytes || !strings.HasSuffix(got, "ab the end") {
		t.Errorf("%d bytes that end in %q", len(got), got[max(0, len(got)-20):])
	}
}

type fakeBackend struct{ name string }

func (f fakeBackend) Name() string             { return f.name }
func (fakeBackend) Arguments(Testbed) []string { return nil }
func (fakeBackend) Properties() Properties     { return Properties{Capabilities: []Capability{Revert}} }

func TestRegistry(t *testing.T) {
	t.Parallel()
	Register(fakeBackend{"fake"})
	b, err := Lookup("fake")
	if err != nil || b.Name() != "fake" {
		t.Fatalf("Lookup: %v, %v", b, err)
	}
	if !b.Properties().Can(Revert) || b.Properties().Can(IsolationMachine) {
		t.Errorf("capabilities of %+v", b.Properties())
	}
	if _, err := Lookup("none"); err == nil || !strings.Contains(err.Error(), "fake") {
		t.Errorf("error %v does not name the backends that there are", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name can be registered twice")
		}
	}()
	Register(fakeBackend{"fake"})
}

func TestFindCommands(t *testing.T) {
	t.Parallel()
	err := findCommands(map[string]string{"sh": "dash", "no-such-b": "pack", "no-such-a": "pack"})
	if !errors.Is(err, ErrMissing) || !strings.HasPrefix(err.Error(), "no-such-a, no-such-b: ") || !strings.HasSuffix(err.Error(), "install pack") {
		t.Errorf("error = %v", err)
	}
	if err := findCommands(map[string]string{"sh": "dash"}); err != nil {
		t.Error(err)
	}
}

// TestEnvironment makes sure that what this process knows does not get to the tests.
func TestEnvironment(t *testing.T) {
	t.Setenv("OS_PASSWORD", "S3KRIT")
	t.Setenv("AUTOPKGTEST_CLOUD_DIRECTORY", "/somewhere")
	got := strings.Join(environment("/tmp"), "\n")
	if strings.Contains(got, "S3KRIT") || !strings.Contains(got, "AUTOPKGTEST_CLOUD_DIRECTORY=/somewhere") {
		t.Errorf("environment:\n%s", got)
	}
}

// A backend's variable takes the place of the usual one.
func TestFurnitureEnvironment(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, entry := range (Furniture{Environment: []string{"PATH=/backend:/bin", "OS_X=y"}}).environment() {
		if strings.HasPrefix(entry, "PATH=") || strings.HasPrefix(entry, "OS_") {
			paths = append(paths, entry)
		}
	}
	if want := []string{"PATH=/backend:/bin", "OS_X=y"}; !slices.Equal(paths, want) {
		t.Errorf("%q, want %q", paths, want)
	}
}

func TestImagePaths(t *testing.T) {
	t.Parallel()
	image := ImagePath("/images", request.Queue{Context: request.Huge, Release: "noble", Architecture: "amd64"})
	if image != "/images/noble-amd64.tar.zst" || InfoPath(image) != "/images/noble-amd64.json" {
		t.Errorf("%s, %s", image, InfoPath(image))
	}
}

func TestDescribeImage(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "noble-amd64.tar.zst")
	if _, err := DescribeImage(image); !errors.Is(err, ErrNoImage) {
		t.Fatalf("no image: error = %v", err)
	}
	write := func(info ImageInfo) {
		t.Helper()
		text, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(InfoPath(image), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ImageInfo{Phase: PhaseFailed, Error: "no mirror"})
	if _, err := DescribeImage(image); !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), "no mirror") {
		t.Fatalf("failed build: error = %v", err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := ImageInfo{Release: "noble", Architecture: "amd64", Built: time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
		Pockets: []string{"proposed"}, Phase: PhaseReady}
	write(want)
	got, err := DescribeImage(image)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, info (-want +got):\n%s", err, diff)
	}
	if err := os.WriteFile(InfoPath(image), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DescribeImage(image); err == nil {
		t.Error("a broken description is taken")
	}
	if err := os.Remove(InfoPath(image)); err != nil {
		t.Fatal(err)
	}
	if info, err := DescribeImage(image); err != nil || info.Pockets != nil {
		t.Errorf("image without description: %+v, %v", info, err)
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Log("run by root, this test gives files to root that are root's already")
	}
	root := t.TempDir()
	closed := filepath.Join(root, "artifacts/closed")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(closed, "program")
	if err := os.WriteFile(program, []byte("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(program, 0o111|fs.ModeSetuid), os.Symlink("/etc/shadow", filepath.Join(root, "link")),
		unix.Mkfifo(filepath.Join(root, "pipe"), 0o600), os.Chmod(closed, 0o100)); err != nil {
		t.Fatal(err)
	}
	// A tree in which paths are longer than the kernel takes.
	deep, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if err := unix.Mkdirat(deep, "folder", 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := unix.Openat(deep, "folder", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(deep)
		deep = below
	}
	unix.Close(deep)
	// Without privileges only one's own id can be given; the component tests do it for other ids.
	if err := tidyAs(root, os.Geteuid(), os.Getegid()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(program)
	if err != nil || info.Mode() != 0o711 {
		t.Errorf("program: mode %v, error %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(root, "pipe")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the named pipe is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, strings.Repeat("folder/", deepest))); err != nil {
		t.Errorf("a tree that is not that deep is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, strings.Repeat("folder/", deepest+2))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the deep tree is still there: %v", err)
	}
	if target, err := os.Readlink(filepath.Join(root, "link")); target != "/etc/shadow" {
		t.Errorf("link to %q, error %v", target, err)
	}
}

func TestPrepareOutput(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a/b")
	if err := prepareOutput(folder); err != nil {
		t.Fatal(err)
	}
	note(folder, "one")
	note(folder, "two")
	text, err := os.ReadFile(filepath.Join(folder, "log"))
	if err != nil || strings.Count(string(text), "autopkgtest-cloud [") != 2 {
		t.Errorf("log %q, error %v", text, err)
	}
	if err := prepareOutput(folder); err == nil {
		t.Error("a folder in use is taken")
	}
}

func TestCheckSpace(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := CheckSpace(folder, 1); err != nil {
		t.Error(err)
	}
	if err := CheckSpace(folder, 1<<62); !errors.Is(err, ErrSpace) || !strings.Contains(err.Error(), folder) {
		t.Errorf("error = %v", err)
	}
}

func TestAwaitByte(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("the reason")
	cancel(reason)
	for name, test := range map[string]struct {
		ctx   context.Context
		limit time.Duration
		act   func(in *os.File)
		want  error
	}{
		"byte":      {t.Context(), time.Hour, func(in *os.File) { _, _ = in.WriteString("1") }, nil},
		"closed":    {t.Context(), time.Hour, func(in *os.File) { in.Close() }, io.EOF},
		"late":      {t.Context(), time.Millisecond, func(*os.File) {}, os.ErrDeadlineExceeded},
		"cancelled": {cancelled, time.Hour, func(*os.File) {}, reason},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			defer in.Close()
			test.act(in)
			if err := awaitByte(test.ctx, out, test.limit); !errors.Is(err, test.want) {
				t.Errorf("error = %v, want %v", err, test.want)
			}
		})
	}
}

// A checkout's autopkgtest is used instead of the installed one, and a folder that is none is told by its path.
func TestCheckout(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := &Runner{}
	WithCheckout(folder)(r)
	program := filepath.Join(folder, "runner", "autopkgtest")
	if _, err := r.findProgram(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), program) {
		t.Errorf("an empty folder: %v, want ErrMissing with the path %s", err, program)
	}
	if err := errors.Join(os.Mkdir(filepath.Dir(program), 0o755), os.WriteFile(program, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	if found, err := r.findProgram(); err != nil || found != program || r.program != "/checkout/runner/autopkgtest" {
		t.Errorf("found %q, %v; runs see %q", found, err, r.program)
	}
}
