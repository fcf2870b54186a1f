package provider

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

const defaultStack = "default"

// settings is the provider's configuration as the resources use it. One value serves all of them, up to ten at a time.
type settings struct {
	stack     string
	directory types.String // may be unknown while planning
	account   string
	system    bool
	binaries  host.Binaries

	files files
	self  *machine.Target // this machine, where it is not the one that Terraform runs on

	clouds      openstack.Sessions   // one token for each account, whatever the number of resources
	inventories deployed.Inventories // and one list of each kind for each region

	keyFiles deployed.Turns // of those who look for a private key, and make it where there is none

	making sync.Mutex // held while a folder is looked for and made: who looks must not end what another begins

	mu      sync.Mutex
	clients map[clientKey]*management.Client
	hashes  map[string]host.Binary
	renewed map[string]bool                 // files; see renew
	groups  map[string]string               // security groups that are planned; see planOnce
	access  map[cloudAccessKey]func() error // see checkAccess
}

// newSettings checks what a plan cannot do without. Addresses and folders may be unknown; names may not.
func newSettings(model providerModel, files files) (*settings, diag.Diagnostics) {
	var diags diag.Diagnostics
	for name, value := range map[string]types.String{
		"stack": model.Stack, "account": model.Account, "binaries": model.Binaries,
	} {
		if value.IsUnknown() {
			diags.AddAttributeError(path.Root(name), "The provider's "+name+" is not known while planning",
				"It depends on something that does not exist yet. Write a value that is known beforehand.")
		}
	}
	if model.System.IsUnknown() {
		diags.AddAttributeError(path.Root("system"), "The provider's system is not known while planning",
			"It depends on something that does not exist yet. Write a value that is known beforehand.")
	}
	s := &settings{
		stack:     defaultStack,
		directory: model.Directory,
		account:   model.Account.ValueString(),
		system:    model.System.ValueBool(),
		binaries:  host.Binaries{Place: model.Binaries.ValueString()},
		files:     files,
		clients:   make(map[clientKey]*management.Client),
		hashes:    make(map[string]host.Binary),
		renewed:   make(map[string]bool),
		groups:    make(map[string]string),
		access:    make(map[cloudAccessKey]func() error),
		clouds:    openstack.Sessions{Observe: logRequest},
	}
	if stack := model.Stack.ValueString(); stack != "" {
		s.stack = stack
	}
	if far, ok := files.(farFiles); ok {
		s.self = &far.end.Target
		s.binaries = host.Binaries{} // they came with the provider
	}
	if s.system && s.directory.IsNull() {
		s.directory = types.StringValue(systemFolder + s.stack)
	}
	return s, diags
}

// binary finds one of our own programs. A program is hashed once per run of the provider.
func (s *settings) binary(name string) (host.Binary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.hashes[name]; ok {
		return found, nil
	}
	found, err := s.binaries.Locate(name, "")
	if err != nil {
		return host.Binary{}, err
	}
	s.hashes[name] = found
	return found, nil
}

// open finds the stack's folder; nil when there is none.
func (s *settings) open(directory string) (*host.Directory, error) {
	d, err := host.Open(directory, s.stack)
	if errors.Is(err, host.ErrAbsent) {
		return nil, nil
	}
	return d, at(path.Root("directory"), err)
}

// create makes or adopts the stack's folder.
func (s *settings) create(ctx context.Context, directory string, system bool) (*host.Directory, error) {
	account, err := host.Choose(s.account)
	if err != nil {
		return nil, err
	}
	s.making.Lock()
	defer s.making.Unlock()
	if err := endOrphans(ctx, directory); err != nil {
		return nil, err
	}
	d, err := host.Create(ctx, host.Options{Path: directory, Stack: s.stack, Account: account, System: system})
	return d, at(path.Root("directory"), err)
}

// endOrphans ends what runs on without its folder: somebody has removed the folder of a stack that was up. A new stack in
// its place would find its ports taken, and a supervisor that watches a folder which is no more.
func endOrphans(ctx context.Context, directory string) error {
	if _, err := os.Lstat(directory); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return host.Sweep(ctx, directory)
}
