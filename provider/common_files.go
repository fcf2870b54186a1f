package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Resources hand each other the paths of files. One on another machine than Terraform's is called ssh://USER@HOST:PORT/PATH, and a
// path alone is always one of Terraform's machine, whoever reads it.

// dialer makes connections; nil is this machine.
type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// files are those of all machines, as the provider sees them where it runs.
type files interface {
	// name is how others call a file of this machine.
	name(path string) string
	// here is the path of a file that is on this machine; false for any other.
	here(name string) (path string, ok bool)
	// fetch reads a file that is not.
	fetch(ctx context.Context, name string) (forward.File, error)
	// dialer connects as the machine of a file does, for what can be reached from there only.
	dialer(name string) dialer
}

// largestFile is far above any credentials, key or certificate.
const largestFile = 1 << 20

// terraformsFiles is what the provider sees that Terraform runs.
type terraformsFiles struct{ pool *machine.Pool }

func (terraformsFiles) name(path string) string { return path }

func (terraformsFiles) here(name string) (string, bool) { return name, !machine.IsFar(name) }

func (f terraformsFiles) fetch(ctx context.Context, name string) (forward.File, error) {
	if !machine.IsFar(name) {
		return readHere(name)
	}
	target, path, err := machine.ParseFile(name)
	if err != nil {
		return forward.File{}, err
	}
	there, err := f.pool.Machine(ctx, target, 0)
	if err != nil {
		return forward.File{}, err
	}
	content, mode, err := there.ReadFile(ctx, path, largestFile)
	return forward.File{Content: content, Mode: mode}, err
}

func (f terraformsFiles) dialer(name string) dialer {
	target, _, err := machine.ParseFile(name)
	if err != nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		there, err := f.pool.Machine(ctx, target, 0)
		if err != nil {
			return nil, err
		}
		return there.DialContext(ctx, network, address)
	}
}

// readHere reads a file of this machine for another one. No pipe blocks us.
func readHere(path string) (forward.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return forward.File{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return forward.File{}, err
	}
	content, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	if err == nil && len(content) > largestFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, largestFile)
	}
	return forward.File{Content: content, Mode: info.Mode()}, err
}

// farFiles is what a provider at the other end sees.
type farFiles struct{ end forward.Here }

func (f farFiles) name(path string) string { return f.end.Target.File(path) }

func (f farFiles) here(name string) (string, bool) {
	target, path, err := machine.ParseFile(name)
	// Another way to this machine is as good.
	return path, err == nil && target.Address == f.end.Target.Address
}

func (f farFiles) fetch(ctx context.Context, name string) (forward.File, error) {
	return f.end.Fetch(ctx, name)
}

func (farFiles) dialer(string) dialer { return nil }

// readBroker reads a broker's credentials, wherever they are.
func (s *settings) readBroker(ctx context.Context, name string) (config.Broker, error) {
	if path, ok := s.files.here(name); ok {
		return config.ReadBroker(path)
	}
	file, err := s.files.fetch(ctx, name)
	if err != nil {
		return config.Broker{}, err
	}
	account, _, err := config.DecodeBroker(name, file.Content, file.Mode)
	return account, err
}

// readStore is readBroker for a store.
func (s *settings) readStore(ctx context.Context, name string) (config.Store, error) {
	if path, ok := s.files.here(name); ok {
		return config.ReadStore(path)
	}
	file, err := s.files.fetch(ctx, name)
	if err != nil {
		return config.Store{}, err
	}
	return config.DecodeStore(name, file.Content, file.Mode)
}

// beside names another file of the machine that a file is on.
func beside(name, path string) string {
	if target, _, err := machine.ParseFile(name); err == nil {
		return target.File(path)
	}
	return path
}

// readFile reads what is not secret.
func (s *settings) readFile(ctx context.Context, name string) ([]byte, error) {
	if path, ok := s.files.here(name); ok {
		return os.ReadFile(path)
	}
	file, err := s.files.fetch(ctx, name)
	return file.Content, err
}

// dialerOf connects to what the credentials in a file are for: they are where that is, and it may listen on loopback only.
func (s *settings) dialerOf(name string) dialer {
	if _, ok := s.files.here(name); ok {
		return nil
	}
	return s.files.dialer(name)
}

// machineAway says whether the machine on which a file lies cannot be reached now.
func machineAway(err error) bool {
	return errors.Is(err, machine.ErrUnreachable) || errors.Is(err, machine.ErrLost)
}
