package provider

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-log/tfsdklog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// programName is the provider's own.
const programName = "terraform-provider-autopkgtest"

// servicePrograms are what a provider needs beside it.
var servicePrograms = []string{workerName, collectorName, commandName}

// Options of a server that tests need; the zero value is what users get.
type Options struct {
	Pool    *machine.Pool // connections to other machines
	Program string        // the provider's program, when it is not the running one
}

// NewServer is the provider as Terraform calls it: for resources of this machine, and of others by way of package forward.
func NewServer(version string, o Options) *forward.Server {
	if o.Pool == nil {
		o.Pool = &machine.Pool{}
	}
	files := terraformsFiles{o.Pool}
	p := &autopkgtestProvider{version: version, files: files}
	programs := func(architecture string) (string, []machine.Program, error) {
		return p.programs(architecture, o.Program)
	}
	return forward.New(providerserver.NewProtocol6(p)(), o.Pool, programs, p.fetch, memberTurn)
}

// fetch reads a file for a provider at another end, and says what is going to become of it.
func (p *autopkgtestProvider) fetch(ctx context.Context, name string) (forward.File, error) {
	file, err := p.files.fetch(ctx, name)
	file.Renewed = p.settings.renews(name)
	return file, err
}

// ServeAgent is the provider at the other end of an ssh session, whose standard input and output are its connection: it ends
// with that.
func ServeAgent(ctx context.Context, version string) error {
	// The end of the session must not kill us in the midst of what has to be finished. To ignore signals would be inherited by the
	// services that we start.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGPIPE, syscall.SIGHUP)
	defer signal.Stop(ended)
	// A session without a login has the PATH of ordinary users, in which administrators' programs are missing.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	ctx = tfsdklog.NewRootProviderLogger(ctx, tfsdklog.WithLogName("provider"), tfsdklog.WithLevelFromEnv("TF_LOG_PROVIDER"))
	return forward.Serve(ctx, stdio{os.Stdin, os.Stdout}, os.Stderr, func(end forward.Here) tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(&autopkgtestProvider{version: version, files: farFiles{end}})()
	})
}

// stdio is a session as the program at its other end has it.
type stdio struct {
	io.Reader
	io.WriteCloser
}

// programs finds what is put on another machine: this very program if that has our architecture, and the services'.
func (p *autopkgtestProvider) programs(architecture, own string) (string, []machine.Program, error) {
	if p.settings == nil {
		return "", nil, errors.New("the provider is not configured")
	}
	var found host.Binary
	var err error
	switch {
	case architecture != runtime.GOARCH:
		found, err = p.settings.binaries.Locate(programName, architecture)
	case own == "":
		if own, err = os.Executable(); err != nil {
			return "", nil, err
		}
		fallthrough
	default:
		found, err = host.LocateFile(programName, own)
	}
	if err != nil {
		return "", nil, err
	}
	all := []machine.Program{{Source: found.Source, SHA256: found.SHA256, Name: programName}}
	for _, name := range servicePrograms {
		found, err := p.settings.binaries.Locate(name, architecture)
		if err != nil {
			return "", nil, err
		}
		all = append(all, machine.Program{
			Source: found.Source, SHA256: found.SHA256, Name: filepath.Join("linux_"+architecture, name),
		})
	}
	return programName, all, nil
}
