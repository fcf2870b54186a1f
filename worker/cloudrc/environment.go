package cloudrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Lookup is where clouds.yaml is looked for, and what with.
type Lookup struct {
	// File is the path of a clouds.yaml; "" looks where OpenStack's clients do. secure.yaml is looked for beside it.
	File string
	// Environment holds the variables of the session, by their names: OS_*, HOME and XDG_CONFIG_HOME are of interest.
	Environment map[string]string
	// Directory is the working directory.
	Directory string
	// Read fetches a file; nil is os.ReadFile. One that is not there is fs.ErrNotExist.
	Read func(path string) ([]byte, error)
}

// theEnvironment is how the variables of a session are called in messages.
const theEnvironment = "the environment"

// ReadClouds finds and reads clouds.yaml, with its secure.yaml. The first that is there counts: OS_CLIENT_CONFIG_FILE, or the
// working directory, openstack below the account's configuration, /etc/xdg/openstack, /etc/openstack. Other than for
// OpenStack's clients, a file that is named or there, and cannot be read, is an error and not passed over.
func (l Lookup) ReadClouds(entry string) ([]Cloud, error) {
	clouds, secure, err := l.documents()
	if err != nil {
		return nil, err
	}
	return ParseClouds(clouds, secure, entry)
}

// FromEnvironment reads a session's own variables: OS_CLOUD names an entry of a clouds.yaml, of which OS_REGION_NAME picks a region,
// and OS_INTERFACE and OS_CACERT count before the file. Without it, the variables are those of an RC file.
func (l Lookup) FromEnvironment() ([]Cloud, error) {
	values := map[string]setting{}
	for name, text := range l.Environment {
		if key, ours := strings.CutPrefix(name, variablePrefix); ours {
			values[strings.ToLower(key)] = setting{text: text, source: theEnvironment}
		}
	}
	entry := values["cloud"].text
	if entry == "" {
		s := &settings{source: theEnvironment, label: theEnvironment, name: inVariables, write: writeVariable, values: values}
		cloud, err := s.cloud()
		if err != nil {
			return nil, err
		}
		return []Cloud{cloud}, nil
	}
	clouds, secure, err := l.documents()
	if err != nil {
		return nil, err
	}
	over := map[string]setting{}
	for _, key := range []string{"interface", "cacert"} {
		if v := values[key]; v.text != "" {
			over[key] = v
		}
	}
	found, err := parseClouds(clouds, secure, entry, over)
	if err != nil {
		return nil, err
	}
	return pick(found, values["region_name"].text)
}

// endings are those of clouds.yaml and secure.yaml, in the order in which they count. JSON is YAML as well.
var endings = []string{".yaml", ".yml", ".json"}

// folders are where clients look.
func (l Lookup) folders() []string {
	var list []string
	add := func(folder string) {
		if path.IsAbs(folder) && !slices.Contains(list, folder) {
			list = append(list, folder)
		}
	}
	home := l.Environment["HOME"]
	add(l.Directory)
	if config := l.Environment["XDG_CONFIG_HOME"]; config != "" {
		add(path.Join(config, "openstack"))
	}
	if home != "" {
		add(path.Join(home, ".config", "openstack"))
	}
	add("/etc/xdg/openstack")
	add("/etc/openstack")
	return list
}

// documents reads the two files; secure may be nil.
func (l Lookup) documents() (clouds Document, secure *Document, err error) {
	folders := l.folders()
	file, named := l.File, "it is named here"
	if file == "" {
		file, named = l.Environment["OS_CLIENT_CONFIG_FILE"], "OS_CLIENT_CONFIG_FILE names it"
	}
	if file != "" {
		found, err := l.read(file, named)
		if err != nil {
			return Document{}, nil, err
		}
		clouds = *found
		if l.File != "" {
			folders = nil
		}
		folders = append([]string{path.Dir(file)}, folders...)
	} else {
		found, err := l.first(folders, "clouds")
		if err != nil {
			return Document{}, nil, err
		}
		if found == nil {
			return Document{}, nil, &Problem{
				Source: "clouds.yaml", Cause: "it is in none of " + strings.Join(folders, ", "),
				WayOut: "put it there, or name the file", kind: ErrUnknown,
			}
		}
		clouds = *found
	}
	if file := l.Environment["OS_CLIENT_SECURE_FILE"]; file != "" && l.File == "" {
		secure, err = l.read(file, "OS_CLIENT_SECURE_FILE names it")
		return clouds, secure, err
	}
	secure, err = l.first(folders, "secure")
	return clouds, secure, err
}

// first reads the first file of a name that is there; nil if none is.
func (l Lookup) first(folders []string, name string) (*Document, error) {
	for _, folder := range folders {
		for _, ending := range endings {
			found, err := l.read(path.Join(folder, name+ending), "clients read it")
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return found, err
		}
	}
	return nil, nil
}

// unread is a Problem with the reason of the system.
type unread struct {
	Problem
	err error
}

func (u *unread) Unwrap() []error { return []error{&u.Problem, u.err} }

func (l Lookup) read(file, named string) (*Document, error) {
	read := l.Read
	if read == nil {
		read = os.ReadFile
	}
	content, err := read(file)
	if err != nil {
		return nil, &unread{err: err, Problem: Problem{
			Source: file, Cause: fmt.Sprintf("it cannot be read: %v", err), kind: ErrInvalid,
			WayOut: named + ", so it has to be there and readable",
		}}
	}
	return &Document{Name: file, Content: content}, nil
}
