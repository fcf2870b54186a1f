package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// readyLimit bounds each wait for a service that was started. Alone on two cores the slowest needs 20 s.
const readyLimit = 4 * time.Minute

// service is one part of the cloud.
type service struct {
	name  string
	needs []string // services that must serve before this one is started
	host.Service
	// migrations are the commands that make the service's schema in an empty database. They read the service's files.
	migrations []migration
	ready      []probe
	// finish is what is done once it serves. It is called on each start and changes nothing when its work is done. A service
	// without processes consists of this alone. May be nil.
	finish func(ctx context.Context) error
}

// migration is a command that makes a part of a schema.
type migration struct {
	argv, env []string
}

// probe is one thing that must answer before a service serves.
type probe struct {
	what    string
	process string // whose log tells why not
	check   func(context.Context) error
}

// apply makes the service exist and serve.
func (s service) apply(ctx context.Context, d *host.Directory) error {
	if len(s.Processes) > 0 {
		if _, err := d.Converge(ctx, s.Service); err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
	}
	for _, p := range s.ready {
		if err := d.WaitReady(ctx, p.what, p.process, readyLimit, p.check); err != nil {
			return err
		}
	}
	if s.finish == nil {
		return nil
	}
	if err := s.finish(ctx); err != nil {
		return fmt.Errorf("set up %s: %w", s.name, err)
	}
	return nil
}

// startAll starts each service as soon as what it needs serves. The first failure ends the others' waits.
func startAll(ctx context.Context, d *host.Directory, services []service, tell func(name string)) error {
	serves := map[string]chan struct{}{}
	for _, s := range services {
		serves[s.name] = make(chan struct{})
	}
	var telling sync.Mutex
	together, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		together.Go(func() error {
			for _, needed := range s.needs {
				if serves[needed] == nil {
					return fmt.Errorf("%s needs %s, which is no service of this cloud", s.name, needed)
				}
				select {
				case <-serves[needed]:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := s.apply(ctx, d); err != nil {
				return err
			}
			close(serves[s.name])
			telling.Lock()
			defer telling.Unlock()
			tell(s.name)
			return nil
		})
	}
	return together.Wait()
}

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "templates/*"))

// render makes one file of a service. All hold passwords.
func render(name string, data any) (host.File, error) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, data); err != nil {
		return host.File{}, fmt.Errorf("write %s: %w", name, err)
	}
	return host.File{Name: "etc/" + name, Content: text.Bytes(), Secret: true}, nil
}

// renderAll makes several.
func renderAll(data any, names ...string) ([]host.File, error) {
	var all []host.File
	for _, name := range names {
		file, err := render(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, file)
	}
	return all, nil
}

// apiLimit bounds each call. A router is connected in a second; on a machine with ten times the work that it can do, in half a minute.
const apiLimit = 3 * time.Minute

// local never uses a proxy: all of it is on this machine.
var local = http.Client{Timeout: apiLimit, Transport: &http.Transport{}}

// answers asks an API for its root, which all of them give to everybody.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := local.Do(request)
		if err != nil {
			return err
		}
		err = response.Body.Close()
		if response.StatusCode >= http.StatusBadRequest {
			return errors.Join(err, fmt.Errorf("GET %s: %s", url, response.Status))
		}
		return err
	}
}
