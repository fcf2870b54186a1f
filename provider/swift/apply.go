package swift

import (
	"context"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// startLimit is generous: all of Swift needs two seconds on an idle machine of two cores, and a first apply starts
// everything at once.
const startLimit = 90 * time.Second

// Apply makes the store exist and serve. It may be called again at any time, also after it was interrupted or after
// parts of the store were destroyed, and changes only what differs: an undamaged store is not touched. A lost
// credentials file gives its user a new password; lost data give a new incarnation.
func Apply(ctx context.Context, d *host.Directory, s Settings) (Info, error) {
	if err := s.Check(); err != nil {
		return Info{}, err
	}
	if err := checkPrograms(); err != nil {
		return Info{}, err
	}
	p, err := converge(ctx, d, s)
	if err != nil {
		return Info{}, err
	}
	if err := awaitReady(ctx, d, p); err != nil {
		return Info{}, err
	}
	i := info(d, s)
	i.Present, i.Incarnation = true, p.Incarnation
	return i, nil
}

// converge puts files and processes in place. It holds the stack's lock, so that two calls at a time do not make up two
// passwords; the wait that follows it is long and needs no lock.
func converge(ctx context.Context, d *host.Directory, s Settings) (place, error) {
	unlock, err := d.Lock(ctx)
	if err != nil {
		return place{}, err
	}
	defer unlock()
	if err := checkDisk(d, s); err != nil {
		return place{}, err
	}
	p, err := remembered(d, s)
	if err != nil {
		return place{}, err
	}
	if p.Incarnation == "" {
		// Servers that had the lost data open, and a memcached that remembers its containers, must not go on.
		if err := d.Stop(ctx, Service); err != nil {
			return place{}, err
		}
		p.Incarnation = newIncarnation()
	}
	if p.Password == "" {
		p.Password = config.NewSecret()
	}
	// Before the proxy learns a new password: had we been interrupted in between, the next call would read it here.
	if _, err := d.WriteFile(credentialsFile, p.credentials().Bytes(), 0o600); err != nil {
		return place{}, err
	}
	definition, err := definition(p)
	if err != nil {
		return place{}, err
	}
	_, err = d.Converge(ctx, definition)
	return p, err
}

// Withdraw ends the store and removes it with everything in it. A store that is not there is no error.
func Withdraw(ctx context.Context, d *host.Directory) error {
	if err := d.Withdraw(ctx, Service); err != nil {
		return err
	}
	return d.Remove(ctx, credentialsFile)
}

// Unload ends the store and removes its installation, but not what it stores and its user's credentials: the next Apply goes
// on with all of that. A store that is not there is no error.
func Unload(ctx context.Context, d *host.Directory) error {
	return d.Withdraw(ctx, Service, "data")
}

// Kept says how others will reach a store that an Apply with these settings makes of the data that are there. Without such
// data it reports false.
func Kept(d *host.Directory, s Settings) (Info, bool, error) {
	i := info(d, s)
	var err error
	i.Incarnation, err = readIncarnation(d)
	return i, err == nil && i.Incarnation != "", err
}

// where says what the folder alone decides.
func where(d *host.Directory, s Settings) place {
	return place{
		Folder: d.ServicePath(Service),
		RunsAs: d.Account().Name,
		Ports: ports{
			Proxy:     d.Port(host.RoleSwiftProxy),
			Account:   d.Port(host.RoleSwiftAccount),
			Container: d.Port(host.RoleSwiftContainer),
			Object:    d.Port(host.RoleSwiftObject),
			Memcached: d.Port(host.RoleMemcached),
		},
		Listen:  s.listen(),
		Reserve: s.reserve(),
		Readers: s.Readers,
	}
}

// remembered is where with what earlier calls made up. What is lost is empty.
func remembered(d *host.Directory, s Settings) (place, error) {
	p := where(d, s)
	var err error
	if p.Password, _, err = readPassword(d); err != nil {
		return place{}, err
	}
	if p.Incarnation, err = readIncarnation(d); err != nil {
		return place{}, fmt.Errorf("the store in %s: %w", d.ServicePath(Service), err)
	}
	return p, nil
}
