package host

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestWriteFile(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	put := func(data string, perm fs.FileMode) bool {
		t.Helper()
		changed, err := d.WriteFile("credentials/deep/er", []byte(data), perm)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(d.Path("credentials/deep/er"))
		if err != nil || info.Mode().Perm() != perm || ownerOf(info) != d.Account().UID {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, perm)
		}
		present, err := d.ReadFile("credentials/deep/er")
		if err != nil || string(present) != data {
			t.Errorf("holds %q, %v, want %q", present, err, data)
		}
		return changed
	}
	if !put("one", 0o600) || put("one", 0o600) {
		t.Error("the first write must be a change, and the same again none")
	}
	if !put("two", 0o600) || !put("two", 0o640) {
		t.Error("another text and another mode are changes")
	}
	if err := os.Chmod(d.Path("credentials/deep/er"), 0o666); err != nil {
		t.Fatal(err)
	}
	if !put("two", 0o600) {
		t.Error("a file that was opened to the world must be closed again")
	}
	parent, err := os.Stat(d.Path("credentials/deep"))
	if err != nil || ownerOf(parent) != d.Account().UID {
		t.Errorf("the folder on the way: %v, %v", parent, err)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	old := d.Path("x", ".file.new-LEFTOVER")
	write(t, old, "half")
	young := d.Path("x", ".file.new-WORKING")
	write(t, young, "half")
	long := time.Now().Add(-2 * staleTemporary)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteFile("x/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(d.Path("x"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got := strings.Join(names, " "); got != ".file.new-WORKING file" {
		t.Errorf("the folder holds %s", got)
	}
}

// Root writes into a folder that another account may change at will: links must not lead its hand.
func TestNoLinkLeadsOutside(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"absolute": "", "relative": "../../victim"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			victim := filepath.Join(filepath.Dir(d.Path()), "victim")
			write(t, filepath.Join(victim, "file"), "precious")
			to := target
			if to == "" {
				to = victim
			}
			if err := d.MkdirAll("services", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, d.Path("services", "x")); err != nil {
				t.Fatal(err)
			}
			if _, err := d.WriteFile("services/x/file", []byte("evil"), 0o666); err == nil {
				t.Error("written through a link")
			}
			if _, err := d.ReadFile("services/x/file"); err == nil {
				t.Error("read through a link")
			}
			if err := d.MkdirAll("services/x/new", 0o755); err == nil {
				t.Error("made a folder through a link")
			}
			if err := d.Remove(t.Context(), "services/x"); err != nil {
				t.Error(err)
			}
			if data, err := os.ReadFile(filepath.Join(victim, "file")); err != nil || string(data) != "precious" {
				t.Errorf("the victim: %q, %v", data, err)
			}
			for _, bad := range []string{"../victim/file", "/etc/passwd", ""} {
				if _, err := d.WriteFile(bad, nil, 0o600); !errors.Is(err, ErrInvalid) {
					t.Errorf("%q: %v", bad, err)
				}
			}
		})
	}
}

// Root makes a folder, and is killed before it has given it away.
func TestMkdirAllFinishesWhatWasInterrupted(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	if err := os.Mkdir(d.Path("credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.MkdirAll("credentials/deep", 0o711); err != nil {
		t.Fatal(err)
	}
	for name, perm := range map[string]fs.FileMode{"credentials": 0o755, "credentials/deep": 0o711} {
		info, err := os.Stat(d.Path(name))
		if err != nil || ownerOf(info) != d.Account().UID || os.Geteuid() == 0 && info.Mode().Perm() != perm {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.Chmod(d.Path("credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.MkdirAll("credentials", 0o755); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Path("credentials")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a folder that was there has got another mode: %v, %v", info, err)
	}
}

func TestFolderOfAnotherOwnerIsRefused(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	impostor := *d
	impostor.account.UID++
	if _, err := impostor.WriteFile("x", nil, 0o600); !errors.Is(err, ErrForeign) {
		t.Errorf("error %v", err)
	}
	impostor = *d
	impostor.path = d.Path("nowhere")
	if _, err := impostor.WriteFile("x", nil, 0o600); !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v", err)
	}
}

func TestWriteFileFor(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	if _, err := d.WriteFileFor("credentials/own", []byte("x"), 0o600, d.Account().Name); err != nil {
		t.Error(err)
	}
	_, err := d.WriteFileFor("credentials/britney", []byte("x"), 0o600, "daemon")
	if os.Geteuid() != 0 {
		if !errors.Is(err, ErrAccount) || !strings.Contains(err.Error(), "Run this as root") {
			t.Errorf("error %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	daemon, err := user.Lookup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path("credentials/britney"))
	if err != nil || strconv.Itoa(ownerOf(info)) != daemon.Uid || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if changed, err := d.WriteFileFor("credentials/britney", []byte("x"), 0o600, "daemon"); changed || err != nil {
		t.Errorf("again: %t, %v", changed, err)
	}
	if _, err := d.WriteFileFor("credentials/x", nil, 0o600, "no-such-account"); !errors.Is(err, ErrAccount) {
		t.Errorf("an owner that is not there: %v", err)
	}
}

// A pipe in place of a file must not block whoever reads it.
func TestReadFileDoesNotWait(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	if err := d.Run(t.Context(), Command{Argv: []string{"mkfifo", d.Path("pipe")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFile("pipe"); err == nil {
		t.Error("a pipe was read as a file")
	}
	if _, err := d.ReadFile("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// What a testbed unpacks belongs to subordinate ids and may be closed even to its owner.
func TestRemoveFilesOfSubordinateIDs(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	if err := d.MkdirAll("work", 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `mkdir -p rootfs/root/closed && touch rootfs/root/closed/file && chown -R 5:5 rootfs && chmod 0 rootfs/root`
	argv := []string{"sh", "-c", script}
	if len(d.Account().subordinates()) > 0 {
		argv = append([]string{"unshare", "--map-auto", "--map-root-user"}, argv...)
	} else {
		argv[2] = strings.Replace(script, "&& chown -R 5:5 rootfs", "", 1)
	}
	if err := d.Run(t.Context(), Command{Argv: argv, Dir: d.Path("work")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), "work"); err != nil {
		t.Error(err)
	}
	if d.Exists("work") {
		t.Error("still there")
	}
	if err := d.Remove(t.Context(), "work"); err != nil {
		t.Errorf("again: %v", err)
	}
}
