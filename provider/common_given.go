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
		content, err := s.fetchSecret(ctx, g.name.ValueString())
		if err != nil {
			return copies{}, at(path.Root(g.attribute), err)
		}
		c.files = append(c.files, host.File{Name: g.copyName, Content: content, Secret: true})
		c.paths[g.attribute] = d.ServicePath(service, g.copyName)
	}
	return c, nil
}

func (s *settings) fetchSecret(ctx context.Context, name string) ([]byte, error) {
	file, err := s.files.fetch(ctx, name)
	if err == nil && file.Mode.Perm()&0o077 != 0 {
		err = fmt.Errorf("%w: %s has mode %04o, want 0600", config.ErrExposed, name, file.Mode.Perm())
	}
	return file.Content, err
}

// copyFinding says whether a service has what is in the files now.
func (s *settings) copyFinding(ctx context.Context, d *host.Directory, service string, all ...given) finding {
	for _, g := range all {
		if g.name.IsNull() {
			continue
		}
		if _, ok := s.files.here(g.name.ValueString()); ok {
			continue
		}
		content, err := s.fetchSecret(ctx, g.name.ValueString())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return finding{Problem: "the credentials in " + g.name.ValueString() + " are gone"}
		case err != nil:
			return finding{Unseen: err.Error()}
		}
		kept, err := d.ReadFile(filepath.Join("services", service, g.copyName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return finding{Unseen: err.Error()}
		}
		if err != nil || !bytes.Equal(kept, content) {
			return finding{Problem: "the credentials in " + g.name.ValueString() + " have changed"}
		}
	}
	return finding{}
}
