package swift

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	swiftlib "github.com/ncw/swift/v2"
	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// What removing containers needs. It is not part of the store's contract: no worker and no collector ever removes one.

const (
	// removeTimeout bounds one request to the store.
	removeTimeout = 30 * time.Second
	// parallelRemovals is what a small store answers without delaying its readers.
	parallelRemovals = 8
	pageOfObjects    = 1000
)

var (
	// ErrNotEmpty: a container has objects, and it was not said that they may go.
	ErrNotEmpty = errors.New("the container is not empty")
	// ErrNoAnswer: the store cannot be reached.
	ErrNoAnswer = errors.New("the store does not answer")
)

// RemoveContainer removes a container of the account, with all that is in it if contents is true. One that is not there
// is no error.
func RemoveContainer(ctx context.Context, account config.Store, name string, contents bool) error {
	return RemoveContainerBy(ctx, account, nil, name, contents)
}

// RemoveContainerBy is RemoveContainer over connections that somebody else makes, as [net.Dialer.DialContext] does.
func RemoveContainerBy(ctx context.Context, account config.Store,
	dial func(ctx context.Context, network, address string) (net.Conn, error), name string, contents bool,
) error {
	connection := &swiftlib.Connection{
		AuthUrl:        account.AuthURL,
		UserName:       account.Username,
		ApiKey:         account.Password.Reveal(),
		AuthVersion:    1,
		ConnectTimeout: removeTimeout,
		Timeout:        removeTimeout,
	}
	if dial != nil {
		connection.Transport = &http.Transport{DialContext: dial, MaxIdleConnsPerHost: parallelRemovals}
	}
	var err error
	if contents {
		err = removeObjects(ctx, connection, name)
	}
	if err == nil {
		err = connection.ContainerDelete(ctx, name)
	}
	if err == nil || errors.Is(err, swiftlib.ContainerNotFound) {
		return nil
	}
	var answer *swiftlib.Error
	switch {
	case !errors.As(err, &answer):
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case answer.StatusCode == http.StatusConflict:
		err = ErrNotEmpty
	}
	return fmt.Errorf("remove the container %s at %s: %w", name, account.AuthURL, err)
}

func removeObjects(ctx context.Context, connection *swiftlib.Connection, name string) error {
	marker := ""
	for {
		names, err := connection.ObjectNames(ctx, name, &swiftlib.ObjectsOpts{Limit: pageOfObjects, Marker: marker})
		if errors.Is(err, swiftlib.ContainerNotFound) || (err == nil && len(names) == 0) {
			return nil
		}
		if err != nil {
			return err
		}
		// A listing lags behind removals, so the next page begins after this one and not at the beginning again.
		marker = names[len(names)-1]
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallelRemovals)
		for _, object := range names {
			group.Go(func() error {
				err := connection.ObjectDelete(ctx, name, object)
				if errors.Is(err, swiftlib.ObjectNotFound) {
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
}
