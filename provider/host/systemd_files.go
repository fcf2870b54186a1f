package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where systemd looks for units that this machine's administrator has, and for those that go with the next boot.
const (
	unitFolder    = "/etc/systemd/system"
	runtimeFolder = "/run/systemd/system"
	// wantsFolder holds a link to each unit that is started at boot: what `systemctl enable` makes.
	wantsFolder = unitFolder + "/multi-user.target.wants"
)

// overrideFolders are where `systemctl edit` and `systemctl set-property` put what changes a unit. Only a unit's own ones concern us:
// what an administrator has set for all services is his.
var overrideFolders = []string{unitFolder, runtimeFolder, "/etc/systemd/system.control", "/run/systemd/system.control"}

// unitFile is the file of a unit of the stack's.
type unitFile struct {
	d    *Directory
	name string
}

func (u unitFile) path() string { return filepath.Join(unitFolder, u.name) }
func (u unitFile) link() string { return filepath.Join(wantsFolder, u.name) }

// read returns the text; none when there is no file, or when the unit is masked.
func (u unitFile) read() (text string, masked bool, err error) {
	for _, path := range []string{u.path(), filepath.Join(runtimeFolder, u.name)} {
		if target, err := os.Readlink(path); err == nil && target == os.DevNull {
			return "", true, nil
		}
	}
	data, err := os.ReadFile(u.path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(data), false, err
}

// write puts the text in place, unless the name is somebody else's. A mask goes.
func (u unitFile) write(text string) error {
	there, masked, err := u.read()
	if err != nil {
		return err
	}
	if o, ours := ownerOfUnit(there); there != "" && (!ours || o.directory != u.d.path) {
		return u.refuse(o, ours)
	}
	wanted, _ := ownerOfUnit(text)
	if o, ours := ownerOfUnit(there); ours && (o.service != wanted.service || o.process != wanted.process) {
		return fmt.Errorf("process %s is already there as %s of service %s; names of processes are unique in a stack",
			wanted.process, o.process, o.service)
	}
	if masked {
		if err := ignoreAbsent(os.Remove(filepath.Join(runtimeFolder, u.name))); err != nil {
			return fmt.Errorf("unmask %s: %w", u.name, err)
		}
	}
	if there == text {
		return nil
	}
	return replaceFile(u.path(), text)
}

// foreign says whether the unit of that name is not this stack's.
func (u unitFile) foreign() (bool, error) {
	text, _, err := u.read()
	o, ours := ownerOfUnit(text)
	return text != "" && (!ours || o.directory != u.d.path), err
}

func (u unitFile) refuse(o owner, ours bool) error {
	whose := "by hand, or by something else"
	if ours {
		whose = "for the stack in " + o.directory
	}
	return &Problem{Kind: ErrForeign, Thing: "the unit " + u.path(), Cause: "was put there " + whose,
		WayOut: "Give the stack another name, or remove that unit if nothing needs it."}
}

// replaceFile writes a file of root's that is never seen half-written.
func replaceFile(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".autopkgtest-new-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// overrides are the files that change what the unit says.
func (u unitFile) overrides() []string {
	var found []string
	for _, folder := range overrideFolders {
		names, err := filepath.Glob(filepath.Join(folder, u.name+".d", "*.conf"))
		if err == nil {
			found = append(found, names...)
		}
	}
	return found
}

// clear removes what changes the unit.
func (u unitFile) clear() error {
	var errs []error
	for _, folder := range overrideFolders {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, u.name+".d")))
	}
	return errors.Join(errs...)
}

// enabled says whether the unit is started at boot.
func (u unitFile) enabled() bool {
	target, err := os.Readlink(u.link())
	return err == nil && filepath.Join(wantsFolder, target) == u.path() || target == u.path()
}

func (u unitFile) enable() error {
	if u.enabled() {
		return nil
	}
	if err := os.MkdirAll(wantsFolder, 0o755); err != nil {
		return fmt.Errorf("enable %s: %w", u.name, err)
	}
	if err := errors.Join(ignoreAbsent(os.Remove(u.link())), os.Symlink(u.path(), u.link())); err != nil {
		return fmt.Errorf("enable %s: %w", u.name, err)
	}
	return nil
}

func (u unitFile) disable() error {
	if err := ignoreAbsent(os.Remove(u.link())); err != nil {
		return fmt.Errorf("disable %s: %w", u.name, err)
	}
	return nil
}

// remove takes the unit away with all that belongs to it, unless it is somebody else's.
func (u unitFile) remove() error {
	if foreign, err := u.foreign(); foreign || err != nil {
		return err
	}
	_, masked, err := u.read()
	if err != nil {
		return err
	}
	errs := []error{u.disable(), u.clear(), ignoreAbsent(os.Remove(u.path()))}
	if masked {
		errs = append(errs, ignoreAbsent(os.Remove(filepath.Join(runtimeFolder, u.name))))
	}
	return errors.Join(errs...)
}

// problems says in words what is wrong with the file.
func (u unitFile) problems() []string {
	var problems []string
	text, masked, err := u.read()
	o, ours := ownerOfUnit(text)
	switch {
	case err != nil:
		problems = append(problems, "has a unit that cannot be read: "+err.Error())
	case masked:
		problems = append(problems, "cannot start: the unit "+u.name+" is masked")
	case text == "":
		problems = append(problems, "has lost its unit "+u.path())
	case !ours || !o.intact || o.directory != u.d.path:
		problems = append(problems, "has a unit that was changed by hand: "+u.path())
	}
	for _, name := range u.overrides() {
		problems = append(problems, "has a unit that is overridden by "+name)
	}
	return problems
}

// unitFiles finds the units of the stack by what they say of themselves.
func (d *Directory) unitFiles() (map[unitFile]owner, error) {
	names, err := filepath.Glob(filepath.Join(unitFolder, unitPrefix+"*"+unitSuffix))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	found := map[unitFile]owner{}
	for _, path := range names {
		u := unitFile{d: d, name: filepath.Base(path)}
		text, _, err := u.read()
		if err != nil {
			return nil, fmt.Errorf("look for units of %s: %w", d.path, err)
		}
		if o, ours := ownerOfUnit(text); ours && o.directory == d.path {
			found[u] = o
		}
	}
	return found, nil
}

// isLog says whether it is the unit of a log.
func (o owner) isLog() bool { return strings.HasSuffix(o.process, logMark("")) }
