//go:build component

package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func gone(t *testing.T, d *Directory) {
	t.Helper()
	expectNobody(t, d)
	if _, err := os.Lstat(d.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// Sweep knows nothing but a path. Whatever state the stack is in, it has to leave nothing, and to spare strangers.
func TestSweep(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, d *Directory){
		"a healthy stack": func(*testing.T, *Directory) {},
		"a killed runsvdir": func(t *testing.T, d *Directory) {
			kill(t, find1(t, d, func(p process) bool { return p.command == supervisor }))
		},
		"orphans of a killed runsv": func(t *testing.T, d *Directory) {
			kill(t, runsvOf(t, d, "toy", "toy-a"))
			kill(t, runsvOf(t, d, "toy", "toy-b"))
		},
		"runsvdir and runsv killed": func(t *testing.T, d *Directory) {
			kill(t, find1(t, d, func(p process) bool { return p.command == supervisor }))
			kill(t, runsvOf(t, d, "toy", "toy-a"))
		},
		"a half-made service": func(t *testing.T, d *Directory) {
			if err := os.Remove(d.ServicePath("toy", manifestName)); err != nil {
				t.Fatal(err)
			}
			if err := d.Remove(t.Context(), "services/toy/runit/toy-a"); err != nil {
				t.Fatal(err)
			}
		},
		"no folder at all": func(t *testing.T, d *Directory) {
			if err := os.RemoveAll(d.Path()); err != nil {
				t.Fatal(err)
			}
		},
		"an empty folder": func(t *testing.T, d *Directory) {
			if err := os.RemoveAll(d.Path()); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(d.Path(), 0o777); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, neighbour := newDirectory(t), newDirectory(t)
			theirs := toy(t, neighbour, map[string]string{"toy-a": "stay"})
			converge(t, neighbour, theirs)
			before := find1(t, neighbour, named("toy-a"))
			converge(t, d, toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay"}))
			spoil(t, d)
			begin := time.Now()
			if err := Sweep(t.Context(), d.Path()); err != nil {
				t.Error(err)
			}
			t.Logf("swept in %s", time.Since(begin))
			gone(t, d)
			if !before.exists() {
				t.Error("a process of the neighbour was ended")
			}
			healthy(t, neighbour, theirs)
			if err := Sweep(t.Context(), d.Path()); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestSweepWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{lockCaller, lockService + "toy", lockStructure} {
		d := newDirectory(t)
		unlock, err := d.lock(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*pause)
		defer cancel()
		if err := Sweep(ctx, d.Path()); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: error %v", name, err)
		}
		unlock()
		if err := Sweep(t.Context(), d.Path()); err != nil {
			t.Error(err)
		}
		gone(t, d)
	}
}

func TestSweepRefuses(t *testing.T) {
	t.Parallel()
	base := place(t)
	write(t, filepath.Join(base, "home", "thesis.tex"), "x")
	err := Sweep(t.Context(), filepath.Join(base, "home"))
	if !errors.Is(err, ErrForeign) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(base, "home", "thesis.tex")); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/", "relative", ""} {
		if err := Sweep(t.Context(), path); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A testbed's processes and files belong to subordinate ids, run in namespaces of their own, and ignore everything.
func TestNothingOfATestbedIsLeft(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(d *Directory) error{
		"swept":     func(d *Directory) error { return Sweep(t.Context(), d.Path()) },
		"withdrawn": func(d *Directory) error { return d.Withdraw(t.Context(), "toy") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			if len(d.Account().subordinates()) == 0 {
				t.Fatalf("%s has no subordinate ids; scripts/setup gives it some", d.Account().Name)
			}
			const testbed = `mkdir -p rootfs/closed && touch rootfs/closed/file && chown -R 5:5 rootfs && chmod 0 rootfs/closed && ` +
				`touch started && exec env -i setpriv --reuid 5 --regid 5 --clear-groups sh -c 'trap "" TERM; while :; do sleep 1; done'`
			converge(t, d, Service{Name: "toy", Data: []string{"data"}, Processes: []Process{{Name: "toy-a", Dir: "data",
				Argv: []string{"/usr/bin/unshare", "--map-auto", "--map-root-user", "sh", "-c", testbed}, StopWait: time.Second}}})
			eventually(t, "no testbed", 10*time.Second, func() error {
				_, err := os.Stat(d.ServicePath("toy", "data/started"))
				return err
			})
			kill(t, find1(t, d, func(p process) bool { return p.command == supervisor }))
			kill(t, runsvOf(t, d, "toy", "toy-a"))
			if len(processesIn(t, d.Path())) == 0 {
				t.Fatal("the testbed is not there at all")
			}
			if err := remove(d); err != nil {
				t.Error(err)
			}
			if left := processesIn(t, d.ServicePath("toy")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if d.Exists("services/toy") {
				t.Error("the service's folder is still there")
			}
		})
	}
}

// processesIn finds processes by where they are: a way to look that does not depend on what is tested.
func processesIn(t *testing.T, path string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if place, err := os.Readlink(link); err == nil && strings.HasPrefix(place, path+"/") {
			found = append(found, link+" -> "+place)
		}
	}
	return found
}

func TestReleaseKeepsWhatIsInUse(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	if _, err := d.WriteFile("credentials/britney", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if gone, err := d.Release(t.Context()); gone || err != nil {
		t.Errorf("%t, %v", gone, err)
	}
	if err := d.Remove(t.Context(), "credentials/britney"); err != nil {
		t.Fatal(err)
	}
	if gone, err := d.Release(t.Context()); !gone || err != nil {
		t.Errorf("%t, %v", gone, err)
	}
	gone(t, d)
	if gone, err := d.Release(t.Context()); !gone || err != nil {
		t.Errorf("again: %t, %v", gone, err)
	}
}
