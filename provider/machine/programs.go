package machine

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pkg/sftp"
)

// Program is one that is put on a machine.
type Program struct {
	Source string // here
	SHA256 string
	Name   string // there, below the folder of its set
}

const (
	// folderOfRoot is in nobody else's hand. That of the services' account would not do: whoever can rename it makes root run
	// what he likes.
	folderOfRoot = "/usr/local/lib/autopkgtest-cloud/agent"
	// folderOfOthers is below the user's home folder.
	folderOfOthers = ".cache/autopkgtest-cloud/agent"
	// keptMinutes is how long sets lie there that nobody uses any more: another operator may.
	keptMinutes = 24 * 60
)

// Folder is where sets of programs lie on a machine.
func (f Facts) Folder() string {
	if f.UID == 0 {
		return folderOfRoot
	}
	return path.Join(f.Home, folderOfOthers)
}

// Install puts a set of programs into a folder that is known by their hashes, and returns its path. What is there already is
// checked, not copied; what is damaged is replaced. Sets that nobody has used for a day go.
func (m *Machine) Install(ctx context.Context, programs []Program) (folder string, err error) {
	facts, err := m.Facts(ctx)
	if err != nil {
		return "", err
	}
	base := cmp.Or(m.programs, facts.Folder())
	folder = path.Join(base, setName(programs))
	there, err := m.holds(ctx, folder, programs)
	if err == nil && !there {
		err = m.copySet(ctx, base, folder, programs)
	}
	if err != nil {
		return "", m.target.problem(ErrRemote, "does not take our programs into "+base, err,
			"See whether the user may write there, and whether there is room")
	}
	_, err = m.shell(ctx, `touch -- "$2" && find "$1" -mindepth 1 -maxdepth 1 -mmin +"$3" ! -path "$2" -exec rm -rf -- {} +`,
		base, folder, fmt.Sprint(keptMinutes))
	if err != nil {
		return "", m.target.failed("tidy up "+base, err)
	}
	return folder, nil
}

// setName is the name of a set of programs: another program, another name.
func setName(programs []Program) string {
	sum := sha256.New()
	for _, p := range sorted(programs) {
		fmt.Fprintf(sum, "%s  %s\n", p.SHA256, p.Name)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

func sorted(programs []Program) []Program {
	return slices.SortedFunc(slices.Values(programs), func(a, b Program) int { return strings.Compare(a.Name, b.Name) })
}

// holds says whether the set is there and whole. The hashes are computed there.
func (m *Machine) holds(ctx context.Context, folder string, programs []Program) (bool, error) {
	var sums strings.Builder
	for _, p := range programs {
		fmt.Fprintf(&sums, "%s  %s\n", p.SHA256, p.Name)
	}
	out, err := m.shell(ctx, `cd -- "$1" 2>/dev/null || { echo no; exit 0; }
printf %s "$2" | sha256sum --check --status && echo yes || echo no`, folder, sums.String())
	return strings.TrimSpace(out) == "yes", err
}

// copySet copies into a folder beside, and puts it in place in one step when it is whole.
func (m *Machine) copySet(ctx context.Context, base, folder string, programs []Program) (err error) {
	client, err := m.sftp()
	if err != nil {
		return err
	}
	fresh := path.Join(base, ".new-"+rand.Text()[:8])
	if _, err := m.shell(ctx, `umask 077 && mkdir -p -- "$1" && mkdir -- "$2"`, base, fresh); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = m.shell(context.WithoutCancel(ctx), `rm -rf -- "$1"`, fresh)
		}
	}()
	for _, p := range programs {
		if err := copyProgram(ctx, client, p, path.Join(fresh, p.Name)); err != nil {
			return err
		}
	}
	whole, err := m.holds(ctx, fresh, programs)
	if err == nil && !whole {
		err = fmt.Errorf("what arrived is not what was sent")
	}
	if err != nil {
		return err
	}
	// Whoever came first with the same set has won; a damaged one makes room.
	if whole, err = m.holds(ctx, folder, programs); err == nil && !whole {
		_, err = m.shell(ctx, `rm -rf -- "$2" && mv -T -- "$1" "$2"`, fresh, folder)
		return err
	}
	if err == nil {
		_, err = m.shell(ctx, `rm -rf -- "$1"`, fresh)
	}
	return err
}

func copyProgram(ctx context.Context, client *sftp.Client, p Program, to string) error {
	source, err := os.Open(p.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := client.MkdirAll(path.Dir(to)); err != nil {
		return err
	}
	target, err := client.Create(to)
	if err != nil {
		return err
	}
	if _, err = target.ReadFromWithConcurrency(untilDone{ctx, source}, 0); err == nil {
		err = target.Chmod(0o755)
	}
	if closed := target.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", p.Name, err)
	}
	return nil
}

// untilDone is a reader that ends with a context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
