package forward

import (
	"context"
	"io/fs"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// File is a file of another machine.
type File struct {
	Content []byte
	Mode    fs.FileMode
	// Renewed: Terraform is making a plan by which it will be written anew.
	Renewed bool `json:",omitempty"`
}

// Fetch reads a file by its name: a path of the machine where Terraform runs, or ssh://... for one of any other.
type Fetch func(ctx context.Context, name string) (File, error)

// Here is what a provider at the other end knows of where it is.
type Here struct {
	Target machine.Target // this machine, as Terraform's reaches it
	Fetch  Fetch          // of files that are not of this machine
}
