package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// given is a credentials file that a service reads: the one that the configuration names, where it is on the service's machine,
// else a copy in the service's folder.
type given struct {
	attribute string       // of the resource
	name      types.String // what it says
	copyName  string       // of the copy, relative to the service's folder
}

// copies are the files that have to be put beside a service, and where it finds each of the credentials.
type copies struct {
	files []host.File
	paths map[string]string // attribute → path
}

// copied reads what is not on this machine. Nothing of it ends in a manifest; see [host.File].
func (s *settings) copied(ctx context.Context, d *host.Directory, service string, all ...given) (copies, error) {
	c := copies{paths: map[string]string{}}
	for _, g := range all {
		if g.name.IsNull() {
			continue
		}
		if here, ok := s.files.here(g.name.ValueString()); ok {
			c.paths[g.attribute] = here
			continue
		}
		file, err := s.fetchSecret(ctx, g.name.ValueString())
		if err != nil {
			return copies{}, at(path.Root(g.attribute), err)
		}
		c.files = append(c.files, host.File{Name: g.copyName, Content: file.Content, Secret: true})
		c.paths[g.attribute] = d.ServicePath(service, g.copyName)
	}
	return c, nil
}

func (s *settings) fetchSecret(ctx context.Context, name string) (forward.File, error) {
	file, err := s.files.fetch(ctx, name)
	if err == nil && file.Mode.Perm()&0o077 != 0 {
		err = fmt.Errorf("%w: %s has mode %04o, want 0600", config.ErrExposed, name, file.Mode.Perm())
	}
	return file, err
}

// renew says in a plan that its apply is going to write files anew. Services on other machines that have copies of them, and refer
// to the resource that plans this, are looked at and planned after it, by the same provider; their files' names stay the same, so
// nothing else would tell Terraform that these services change, too.
func (s *settings) renew(files ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range files {
		s.renewed[file] = true
	}
}

func (s *settings) renews(file string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed[file]
}

// copyFinding says whether a service has what is in the files now, and will be there when the plan is applied.
func (s *settings) copyFinding(ctx context.Context, d *host.Directory, service string, all ...given) finding {
	for _, g := range all {
		if g.name.IsNull() {
			continue
		}
		if _, ok := s.files.here(g.name.ValueString()); ok {
			continue
		}
		file, err := s.fetchSecret(ctx, g.name.ValueString())
		switch {
		case file.Renewed:
			return finding{Problem: "the credentials in " + g.name.ValueString() + " are about to change"}
		case errors.Is(err, fs.ErrNotExist):
			return finding{Problem: "the credentials in " + g.name.ValueString() + " are gone"}
		case err != nil:
			return finding{Unseen: err.Error()}
		}
		kept, err := d.ReadFile(filepath.Join("services", service, g.copyName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return finding{Unseen: err.Error()}
		}
		if err != nil || !bytes.Equal(kept, file.Content) {
			return finding{Problem: "the credentials in " + g.name.ValueString() + " have changed"}
		}
	}
	return finding{}
}
