package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Furnisher is a backend whose tools need more than this machine's programs and an image.
type Furnisher interface {
	// Furnish says what they need for a testbed. It makes nothing itself. An error is for the operator: the backend cannot
	// be used like this.
	Furnish(Testbed) (Furniture, error)
}

// Furniture is what the tools of a backend find in the file tree of a run. All paths are as the run sees them unless said
// otherwise.
type Furniture struct {
	Files   map[string]string // path → content; one that begins with #! can be executed
	Shows   map[string]string // path → a file or folder of this machine, to be read
	Folders []string          // empty folders of the run's own, on disk, to be written
	Devices []string          // of this machine, below /dev
	Unpack  string            // where the image is to be found unpacked, to be read; empty for nowhere
	Script  string            // a shell script that is run before autopkgtest, as root of the run's namespaces

	// Shape is a shell script that makes something else of the unpacked image, its working directory, such as a disk. It is
	// run once, as root of namespaces in which all owners are its own, but on this machine: it must not run what it finds in
	// the image in another way than the image was built.
	Shape string

	Environment []string // variables for autopkgtest and its tools, beside the usual ones or in their place
}

// Cleaner is a backend whose runs make things that do not end with their processes and their folder.
type Cleaner interface {
	// Clean removes what is left of a run, none of whose processes lives. It may be called when there is nothing, and again.
	Clean(ctx context.Context, of Remains) error
}

// Remains is what is known of a run that has ended, or whose program has.
type Remains struct {
	Testbed Testbed
	Folders map[string]string // those of Furniture: path as the run saw it → path on this machine
}

// furnish asks the backend.
func (r *Runner) furnish(t Testbed) (Furniture, error) {
	var f Furniture
	if backend, ok := r.backend.(Furnisher); ok {
		var err error
		if f, err = backend.Furnish(t); err != nil {
			return Furniture{}, fmt.Errorf("backend %s: %w", r.backend.Name(), err)
		}
	}
	return f, nil
}

// places makes the run's own folders below its scratch folder, and the files in them.
func (f Furniture) places(folder string) (map[string]string, error) {
	own := map[string]string{}
	for i, name := range f.Folders {
		own[name] = filepath.Join(folder, "own", strconv.Itoa(i))
		if err := os.MkdirAll(own[name], 0o755); err != nil {
			return nil, fmt.Errorf("make a folder of the run: %w", err)
		}
	}
	for name, content := range f.Files {
		if at := f.below(name); at != "" {
			path := filepath.Join(own[at], strings.TrimPrefix(name, at))
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), fileMode(content)))
			if err != nil {
				return nil, fmt.Errorf("write a file of the run: %w", err)
			}
		}
	}
	return own, nil
}

// below is the folder of the run's own that a file lies in; empty for none.
func (f Furniture) below(name string) string {
	i := slices.IndexFunc(f.Folders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
	if i < 0 {
		return ""
	}
	return f.Folders[i]
}

// fileMode is that of a program for a script.
func fileMode(content string) os.FileMode {
	if strings.HasPrefix(content, "#!") {
		return 0o755
	}
	return 0o644
}

// furnish puts the furniture into the tree of a run.
func (t *tree) furnish(f Furniture, own map[string]string) {
	for name, content := range f.Files {
		if f.below(name) == "" {
			t.Files[name] = content
		}
	}
	for _, name := range f.Folders { // in their order: one may lie in another
		t.Binds = append(t.Binds, bind{From: own[name], To: name, Write: true})
	}
	for name, from := range f.Shows {
		t.Binds = append(t.Binds, bind{From: from, To: name})
	}
	t.Devices = append(t.Devices, f.Devices...)
}

// environment is that of autopkgtest. No variable is in it twice: which one counts would be each program's own decision.
func (f Furniture) environment() []string {
	all := append(environment("/tmp"), f.Environment...)
	return slices.DeleteFunc(slices.Clone(all), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		last := ""
		for _, other := range all {
			if strings.HasPrefix(other, name+"=") {
				last = other
			}
		}
		return entry != last
	})
}

// withScript has a shell script run before a command, in the same place. One that fails is a testbed failure.
func withScript(script string, argv []string) []string {
	if script == "" {
		return argv
	}
	return append([]string{"/bin/sh", "-c", "(set -e\n" + script + "\n) || exit 16\nexec \"$@\"", "sh"}, argv...)
}
