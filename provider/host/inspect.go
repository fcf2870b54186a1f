package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Inspection is what Inspect found.
type Inspection struct {
	Present bool   // the service's manifest is there
	Problem string // empty: all is as Converge left it. Otherwise a sentence for a plan: "process epmd is down"
	// Problems has all of them, Problem is the first.
	Problems  []string
	Lost      []string // Data folders that are gone, and with them what lived in them
	Format    int
	Binary    string // SHA-256 of the installed program; empty if the service has none
	Processes map[string]Status
}

// Status is the state of one process.
type Status struct {
	Up    bool
	PID   int
	Since time.Time // of the last change of state
}

func (i *Inspection) problem(format string, arguments ...any) {
	i.Problems = append(i.Problems, fmt.Sprintf(format, arguments...))
	i.Problem = i.Problems[0]
}

// Inspect compares a service with its manifest. It changes nothing and is fast enough for every plan. An absent service
// is not an error: Present is false.
func (d *Directory) Inspect(ctx context.Context, name string) (Inspection, error) {
	root, err := d.open()
	if errors.Is(err, ErrAbsent) {
		i := Inspection{}
		i.problem("the folder %s is gone", d.path)
		return i, nil
	}
	if err != nil {
		return Inspection{}, err
	}
	defer root.Close()
	m, err := readManifest(root, name)
	if err != nil {
		return d.withoutManifest(root, name, err), nil
	}
	all, err := d.processes()
	if err != nil {
		return Inspection{}, err
	}
	i := Inspection{Present: true, Format: m.Format, Processes: map[string]Status{}}
	if problem := d.supervision().problem(all); problem != "" {
		i.problem("%s", problem)
	}
	for _, p := range m.Processes {
		status, problems := d.supervision().process(root, name, p.Name).inspect(ctx, all)
		i.Processes[p.Name] = status
		for _, problem := range problems {
			i.problem("process %s %s", p.Name, problem)
		}
	}
	d.inspectFiles(root, m, &i)
	return i, ctx.Err()
}

func (d *Directory) withoutManifest(root *os.Root, name string, err error) Inspection {
	i := Inspection{}
	_, there := root.Lstat(filepath.Join("services", name))
	switch {
	case there != nil:
		i.problem("the folder %s is gone", d.ServicePath(name))
	case errors.Is(err, fs.ErrNotExist):
		i.problem("it was never finished")
	default:
		i.problem("its manifest %s cannot be read", d.ServicePath(name, manifestName))
	}
	return i
}

func (d *Directory) inspectFiles(root *os.Root, m manifest, i *Inspection) {
	inService := func(name string) string { return filepath.Join("services", m.Service, name) }
	for _, name := range m.Data {
		if info, err := root.Stat(inService(name)); err != nil || !info.IsDir() {
			i.Lost = append(i.Lost, name)
			i.problem("the data in %s is gone", d.Path(inService(name)))
		}
	}
	names := make([]string, 0, len(m.Files))
	for name := range m.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if difference := m.Files[name].differs(root, inService(name)); difference != "" {
			i.problem("file %s %s", name, difference)
		}
	}
	for _, name := range m.Makes {
		if _, err := root.Lstat(inService(name)); err != nil {
			i.problem("file %s is gone", name)
		}
	}
	if m.Binary != nil {
		i.Binary = m.Binary.SHA256
		if info, err := root.Lstat(m.Binary.file()); err != nil || info.Size() != m.Binary.Size {
			i.problem("the program %s is gone or damaged", d.Path(m.Binary.file()))
		}
	}
}

// Services lists the services in the folder, also half-made ones.
func (d *Directory) Services() ([]string, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return list(root, "services")
}
