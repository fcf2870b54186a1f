package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// openStore opens the store of a configuration. When the store no longer knows the account, or is not where it was, the account
// is read again: a password or an address that was changed must not cost a running test its result.
func openStore(conf config.Worker, log *slog.Logger) (results store.Store, closeStore func(), err error) {
	credentials, local, err := conf.Store()
	if err != nil {
		return nil, nil, err
	}
	if local {
		path := localResults(conf)
		log.Warn("no store is configured: results stay on this machine, and nobody but its users sees them", "directory", path)
		results, err := directory.New(path)
		if err != nil {
			return nil, nil, err
		}
		return results, func() { _ = results.Close() }, nil
	}
	return &account{conf: conf, credentials: credentials, store: swift.New(credentials)}, func() {}, nil
}

// localResults is the folder of results when there is no store.
func localResults(conf config.Worker) string { return filepath.Join(conf.StateDirectory, "results") }

// account is a store decorator that follows changed credentials.
type account struct {
	conf config.Worker

	mu          sync.Mutex
	credentials config.Store
	store       store.Store
}

var _ store.Store = (*account)(nil)

// use calls f, and once more with new credentials if the ones that it had do not lead to the store.
func (a *account) use(f func(store.Store) error) error {
	a.mu.Lock()
	current := a.store
	a.mu.Unlock()
	err := f(current)
	if !errors.Is(err, store.ErrDenied) && !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	fresh, changed := a.renew(current)
	if !changed {
		return err
	}
	return f(fresh)
}

func (a *account) renew(refused store.Store) (fresh store.Store, changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.store != refused {
		return a.store, true // somebody else was faster
	}
	credentials, _, err := a.conf.Store()
	if err != nil || credentials == a.credentials {
		return nil, false
	}
	a.credentials, a.store = credentials, swift.New(credentials)
	return a.store, true
}

func (a *account) CreateContainer(ctx context.Context, name string, public bool, readers ...string) error {
	return a.use(func(s store.Store) error { return s.CreateContainer(ctx, name, public, readers...) })
}

func (a *account) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	begin, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return a.use(func(s store.Store) error {
		if _, err := body.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		return s.Put(ctx, container, object, body, size, p)
	})
}

func (a *account) Get(ctx context.Context, container, object string) (body io.ReadCloser, p store.Properties, err error) {
	err = a.use(func(s store.Store) (err error) {
		body, p, err = s.Get(ctx, container, object)
		return err
	})
	return body, p, err
}

func (a *account) Delete(ctx context.Context, container, object string) error {
	return a.use(func(s store.Store) error { return s.Delete(ctx, container, object) })
}

func (a *account) List(ctx context.Context, container string, query store.Query) (entries []store.Entry, err error) {
	err = a.use(func(s store.Store) (err error) {
		entries, err = s.List(ctx, container, query)
		return err
	})
	return entries, err
}

func (a *account) Containers(ctx context.Context) (names []string, err error) {
	err = a.use(func(s store.Store) (err error) {
		names, err = s.Containers(ctx)
		return err
	})
	return names, err
}
