package swift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Inspect says how the store is, and changes nothing. It is fast enough for every plan. A store that is not there is no
// error: Present is false.
func Inspect(ctx context.Context, d *host.Directory, s Settings) (Info, error) {
	found, err := d.Inspect(ctx, Service)
	if err != nil {
		return Info{}, err
	}
	i := info(d, s)
	// A lost manifest is written again. It does not mean that there is no store.
	i.Present = found.Present || HoldsData(d)
	if !i.Present {
		return i, nil
	}
	p, err := remembered(d, s)
	if err != nil {
		return Info{}, err
	}
	i.Incarnation = p.Incarnation
	if i.Problem, err = problem(ctx, d, s, p, found); err != nil {
		return Info{}, err
	}
	return i, nil
}

// problem finds the first thing that is wrong, the gravest first.
func problem(ctx context.Context, d *host.Directory, s Settings, p place, found host.Inspection) (string, error) {
	if p.Incarnation == "" {
		return "the store's data in " + d.ServicePath(Service, "data") + " are gone, and with them all results; " +
			"an apply begins with an empty store", nil
	}
	if _, lost, err := readPassword(d); err != nil || lost != "" {
		return lost, err
	}
	if found.Problem != "" {
		return found.Problem, nil
	}
	if content, err := d.ReadFile(credentialsFile); err != nil || !bytes.Equal(content, p.credentials().Bytes()) {
		return "the credentials file " + d.Path(credentialsFile) + " does not lead to the store; an apply writes it again", err
	}
	if name, err := differs(d, p); err != nil || name != "" {
		return fmt.Sprintf("the file %s is not as this version writes it", d.ServicePath(Service, name)), err
	}
	free, err := room(d.ServicePath(Service, "data"))
	if err != nil {
		return "", err
	}
	if free < s.reserve() {
		return fmt.Sprintf("the store refuses uploads: the file system of %s has %d MiB left, less than the %d MiB of "+
			"its reserve", d.ServicePath(Service), free>>20, s.reserve()>>20), nil
	}
	if err := health(ctx, p); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "the store does not serve: " + err.Error(), nil
	}
	return "", nil
}

// Configured is what the configuration in a stack's folder says of what an operator may choose; zero values where it is lost, or
// silent.
func Configured(d *host.Directory) (s Settings, err error) {
	content, err := d.ReadFile(serviceFile("etc/proxy-server.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Settings{}, err
	}
	if match := proxyAddress.FindSubmatch(content); match != nil && string(match[1]) != loopback {
		s.Listen = string(match[1])
	}
	return s, nil
}

var proxyAddress = regexp.MustCompile(`(?m)^bind_ip = (\S+)$`)

// differs names the first file that an apply would write anew.
func differs(d *host.Directory, p place) (string, error) {
	wanted, err := definition(p)
	if err != nil {
		return "", err
	}
	for _, file := range wanted.Files {
		content, err := d.ReadFile(serviceFile(file.Name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(content, file.Content) {
			return file.Name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}
