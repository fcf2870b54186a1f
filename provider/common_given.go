package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// given is a credentials file that a service reads: the one that the configuration names, or a copy in the service's folder.
type given struct {
	attribute string       // of the resource
	name      types.String // what it says
	copyName  string       // of the copy, relative to the service's folder
	broker    bool         // it is a broker's, and may name the certificate of an authority
	personal  bool         // an operator's own, which the service's account may not read
}

// inPlace is the path of a file that the service reads as it is. It gets a copy of any other.
func (s *settings) inPlace(g given) (path string, ok bool) {
	if g.personal {
		return "", false
	}
	return s.files.here(g.name.ValueString())
}

// copies are the files that have to be put beside a service, and where it finds each of the credentials.
type copies struct {
	files []host.File
	paths map[string]string // attribute → path
}

// copied reads what a service has to have a copy of. No secret ends in a manifest; see [host.File].
func (s *settings) copied(ctx context.Context, d *host.Directory, service string, all ...given) (copies, error) {
	c := copies{paths: map[string]string{}}
	for _, g := range all {
		if g.name.IsNull() {
			continue
		}
		if there, ok := s.inPlace(g); ok {
			c.paths[g.attribute] = there
			continue
		}
		files, err := s.copiesOf(ctx, g)
		if err != nil {
			return copies{}, at(path.Root(g.attribute), err)
		}
		c.files = append(c.files, files...)
		c.paths[g.attribute] = d.ServicePath(service, g.copyName)
	}
	return c, nil
}

// errAuthority: the certificate that a credentials file names cannot be had.
var errAuthority = errors.New("the certificate of the broker's authority")

// copiesOf are the credentials in a file and, where they name the certificate of an authority, that as well: the copies lie beside
// each other, and the one names the other.
func (s *settings) copiesOf(ctx context.Context, g given) ([]host.File, error) {
	file, err := s.fetchSecret(ctx, g.name.ValueString())
	if err != nil {
		return nil, err
	}
	return s.copiesOfFile(ctx, g, file)
}

func (s *settings) copiesOfFile(ctx context.Context, g given, file forward.File) ([]host.File, error) {
	name := g.name.ValueString()
	credentials := host.File{Name: g.copyName, Content: file.Content, Secret: true}
	if !g.broker {
		return []host.File{credentials}, nil
	}
	place := name
	if machine.IsFar(name) {
		var err error
		if _, place, err = machine.ParseFile(name); err != nil {
			return nil, err
		}
	}
	account, key, err := config.DecodeBroker(place, file.Content, file.Mode)
	if err != nil || account.CAFile == "" {
		return []host.File{credentials}, err
	}
	certificate, err := s.readFile(ctx, beside(name, account.CAFile))
	if err == nil {
		certificate, err = certificatesIn(certificate)
	}
	if err != nil {
		return nil, fmt.Errorf("%w, which %s names: %w", errAuthority, name, err)
	}
	authority := host.File{Name: config.AuthorityFile(g.copyName), Content: certificate, Perm: 0o644}
	account.CAFile = filepath.Base(authority.Name)
	credentials.Content = account.File(cmp.Or(key, config.KeyURI))
	return []host.File{authority, credentials}, nil
}

func (s *settings) fetchSecret(ctx context.Context, name string) (forward.File, error) {
	file, err := s.readAnywhere(ctx, name)
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
		if _, ok := s.inPlace(g); ok {
			continue
		}
		credentials := "the credentials in " + g.name.ValueString()
		certificate := "the certificate that " + credentials + " name"
		file, err := s.fetchSecret(ctx, g.name.ValueString())
		if file.Renewed {
			return finding{Problem: credentials + " are about to change"}
		}
		var wanted []host.File
		if err == nil {
			wanted, err = s.copiesOfFile(ctx, g, file)
		}
		what := credentials + " are "
		if errors.Is(err, errAuthority) {
			what = certificate + " is "
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return finding{Problem: what + "gone"}
		case errors.Is(err, config.ErrInvalid):
			return finding{Problem: what + "damaged"}
		case err != nil:
			return finding{Unseen: err.Error()}
		}
		for _, file := range wanted {
			kept, err := d.ReadFile(filepath.Join("services", service, file.Name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return finding{Unseen: err.Error()}
			}
			switch same := err == nil && bytes.Equal(kept, file.Content); {
			case same:
			case file.Secret:
				return finding{Problem: credentials + " have changed"}
			default:
				return finding{Problem: certificate + " has changed"}
			}
		}
	}
	return finding{}
}
