package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// commandFolders are the only places where commands are looked for: those that a run can see, whatever PATH says.
var commandFolders = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// ErrMissing means that a command is not installed.
var ErrMissing = errors.New("not installed")

// findCommand returns a command's path, or an error that names the Debian package that has it.
func findCommand(name, debianPackage string) (string, error) {
	for _, folder := range commandFolders {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w: install the package %s", name, ErrMissing, debianPackage)
}

// findCommands reports everything that is missing at once.
func findCommands(commands map[string]string) error {
	var missing, packages []string
	for name, debianPackage := range commands {
		if _, err := findCommand(name, debianPackage); err != nil {
			missing = append(missing, name)
			packages = append(packages, debianPackage)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	slices.Sort(packages)
	return fmt.Errorf("%s: %w: install %s", strings.Join(missing, ", "), ErrMissing,
		strings.Join(slices.Compact(packages), " "))
}

// environment is what commands in a namespace are given: nothing of ours but the marks by which a stack finds what
// belongs to it.
func environment(temporary string) []string {
	env := []string{
		"PATH=" + strings.Join(commandFolders, ":"), "HOME=" + temporary, "TMPDIR=" + temporary,
		"LANG=C.UTF-8", "SHELL=/bin/sh", "USER=root", "LOGNAME=root",
	}
	return append(env, marks()...)
}

// Environment is what a program of a backend is given, see Cleaner.
func Environment(temporary string) []string { return environment(temporary) }

func marks() []string {
	var out []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "AUTOPKGTEST_CLOUD_") && !strings.HasPrefix(entry, runMark+"=") {
			out = append(out, entry)
		}
	}
	return out
}
