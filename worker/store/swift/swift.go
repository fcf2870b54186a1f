// Package swift keeps results in OpenStack Swift, through an account (New) or as everybody sees them (Anonymous).
//
// The library underneath repeats only reads, without a pause, and shares its login between goroutines in a way that can
// send a request nowhere. So it is told to repeat nothing, every login gets a connection of its own, and one loop here
// (call) decides what is tried again: a few times within seconds. Waiting longer for a store that is down is for a
// decorator or for the caller. Start reading at Store.
package swift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	swiftlib "github.com/ncw/swift/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

const (
	// tries bounds how often one call is sent; the pauses between them begin with firstPause and grow fourfold.
	tries      = 3
	firstPause = 250 * time.Millisecond

	// quiet is how long a server may say nothing: before its answer begins (listings of large containers are slow), and
	// within a body.
	quiet       = 60 * time.Second
	dialTimeout = 10 * time.Second

	pageSize = 10000 // no Swift gives more at a time
)

// publicACL lets everybody read and list. The order is the one that upstream writes.
const publicACL = ".rlistings,.r:*"

// Store is an account of a Swift server.
type Store struct {
	name    string // for messages: where it is
	account string // the account's name, where Swift itself knows the users; empty with Keystone
	session session
	pause   func(context.Context, time.Duration) error
}

var _ store.Store = (*Store)(nil)

// Dial makes connections as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// New returns the store behind an account. It logs in with the first call.
func New(account config.Store) *Store { return NewBy(account, nil) }

// NewBy is New for a store that only another machine can reach, which makes the connections. Without a dial this one does.
func NewBy(account config.Store, dial Dial) *Store {
	transport := newTransport(dial)
	s := &Store{
		name: account.AuthURL,
		session: newLogin(func() *swiftlib.Connection {
			return &swiftlib.Connection{
				AuthUrl:        account.AuthURL,
				UserName:       account.Username,
				ApiKey:         account.Password.Reveal(),
				AuthVersion:    authVersion(account),
				Tenant:         account.Tenant,
				TenantDomain:   account.ProjectDomain,
				Domain:         account.UserDomain,
				Region:         account.Region,
				Retries:        -1, // none: see the package's comment
				ConnectTimeout: quiet,
				Timeout:        quiet,
				Transport:      transport,
			}
		}),
		pause: sleep,
	}
	if authVersion(account) == 1 {
		s.account, _, _ = strings.Cut(account.Username, ":")
	}
	return s
}

// readACL lets users read and list. Keystone's users are meant by *:USER, whatever their project; Swift's own belong to an
// account, and it knows no star.
func (s *Store) readACL(readers []string) string {
	var list []string
	for _, reader := range readers {
		list = append(list, "*:"+reader)
		if s.account != "" {
			list = append(list, s.account+":"+reader)
		}
	}
	return strings.Join(list, ",")
}

// authVersion is the protocol by which an account logs in: Keystone's if it has a tenant or a domain, of which version 2 has
// no domains and version 3 cannot do without, else Swift's own.
func authVersion(account config.Store) int {
	switch {
	case account.UserDomain != "" || account.ProjectDomain != "" || strings.HasSuffix(account.AuthURL, "/v3"):
		return 3
	case account.Tenant != "":
		return 2
	}
	return 1
}

// Anonymous returns the store as somebody without an account sees it: public containers, read only. Swift answers an
// anonymous request for a container that does not exist as it does for a private one, so ErrDenied may mean either.
func Anonymous(storageURL string) *Store { return AnonymousBy(storageURL, nil) }

// AnonymousBy is what NewBy is to New.
func AnonymousBy(storageURL string, dial Dial) *Store {
	return &Store{
		name: storageURL,
		session: anonymous{&swiftlib.Connection{
			StorageUrl:     storageURL,
			AuthToken:      "none", // the library wants one; the transport drops it
			Retries:        -1,
			ConnectTimeout: quiet,
			Timeout:        quiet,
			Transport:      withoutToken{newTransport(dial)},
		}},
		pause: sleep,
	}
}

func newTransport(dial Dial) *http.Transport {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       quiet,
		ExpectContinueTimeout: 5 * time.Second, // a body is not sent before the server wants it
		DisableCompression:    true,            // a log that was stored compressed is given out compressed
	}
	if dial != nil {
		transport.DialContext, transport.Proxy = dial, nil
	}
	return transport
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// call sends a request until it has an answer that will not change: at most tries times, with a new login if the server
// does not know the old one any more.
//
// The context of an attempt ends with it: the library leaves requests that it gave up for the context to end.
func (s *Store) call(ctx context.Context, what string, send func(context.Context, *swiftlib.Connection) error) error {
	renewed := false
	for try := 1; ; {
		connection, err := s.session.connection(ctx)
		if err == nil {
			attempt, cancel := context.WithCancel(ctx)
			err = send(attempt, connection)
			cancel()
			if err == nil {
				return nil
			}
			// Tokens end when the server's cache restarts. Some servers answer 403 then.
			if kind := kindOf(err); errors.Is(kind, store.ErrDenied) && !renewed && s.session.renew(ctx, connection) {
				renewed = true
				continue
			}
		}
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("%s at %s: %w", what, s.name, ended)
		}
		kind := kindOf(err)
		if try == tries || !errors.Is(kind, store.ErrUnavailable) {
			return failed(what, s.name, kind, err)
		}
		pause := firstPause << (2 * (try - 1))
		try++
		if ended := s.pause(ctx, pause/2+rand.N(pause)); ended != nil {
			// Said but not wrapped: to callers the end of the context decides, not what was tried last.
			return fmt.Errorf("%s at %s: %w (last error: %v)", what, s.name, ended, err) //nolint:errorlint // on purpose
		}
	}
}

// CreateContainer implements store.Store.
func (s *Store) CreateContainer(ctx context.Context, name string, public bool, readers ...string) error {
	what := "create container " + name
	if err := errors.Join(store.CheckContainer(name), store.CheckAccess(public, readers)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	headers := swiftlib.Headers{"X-Container-Read": s.readACL(readers)} // an empty one removes what was there
	if public {
		headers["X-Container-Read"] = publicACL
	}
	return s.call(ctx, what, func(ctx context.Context, c *swiftlib.Connection) error {
		return c.ContainerCreate(ctx, name, headers)
	})
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, container, object string) (io.ReadCloser, store.Properties, error) {
	what := "get " + container + "/" + object
	if err := store.CheckObject(container, object); err != nil {
		return nil, store.Properties{}, fmt.Errorf("%s: %w", what, err)
	}
	var (
		file       *swiftlib.ObjectOpenFile
		headers    swiftlib.Headers
		cancelOpen context.CancelFunc
	)
	err := s.call(ctx, what, func(_ context.Context, c *swiftlib.Connection) (err error) {
		reading, cancel := context.WithCancel(ctx) // ends with the body, not with the attempt
		if file, headers, err = c.ObjectOpen(reading, container, object, true, nil); err != nil {
			cancel()
			return err
		}
		cancelOpen = cancel
		return nil
	})
	if err != nil {
		return nil, store.Properties{}, err
	}
	body := &body{ctx: ctx, file: file, cancel: cancelOpen, what: what, where: s.name}
	return body, properties(headers), nil
}

// Delete implements store.Store. A repetition whose first try was carried out finds nothing, which is in order.
func (s *Store) Delete(ctx context.Context, container, object string) error {
	what := "delete " + container + "/" + object
	if err := store.CheckObject(container, object); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err := s.call(ctx, what, func(ctx context.Context, c *swiftlib.Connection) error {
		return c.ObjectDelete(ctx, container, object)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	what := "list " + container
	if err := errors.Join(store.CheckContainer(container), query.Check()); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	options := &swiftlib.ObjectsOpts{Prefix: query.Prefix, Marker: query.Marker, Limit: min(query.Limit, pageSize)}
	if query.Delimiter != "" {
		options.Delimiter, _ = utf8.DecodeRuneInString(query.Delimiter)
	}
	var objects []swiftlib.Object
	err := s.call(ctx, what, func(ctx context.Context, c *swiftlib.Connection) (err error) {
		objects, err = c.Objects(ctx, container, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	if query.Limit > 0 && len(objects) > query.Limit { // some servers do not know limits
		objects = objects[:query.Limit]
	}
	entries := make([]store.Entry, 0, len(objects))
	for _, object := range objects {
		if object.PseudoDirectory {
			entries = append(entries, store.Entry{Name: object.Name, Subdirectory: true})
			continue
		}
		entries = append(entries, store.Entry{Name: object.Name, Size: object.Bytes, Modified: modified(object)})
	}
	return entries, nil
}

// Containers implements store.Store.
func (s *Store) Containers(ctx context.Context) ([]string, error) {
	var names []string
	for {
		options := &swiftlib.ContainersOpts{Limit: pageSize}
		if len(names) > 0 {
			options.Marker = names[len(names)-1]
		}
		var page []string
		err := s.call(ctx, "list containers", func(ctx context.Context, c *swiftlib.Connection) (err error) {
			page, err = c.ContainerNames(ctx, options)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(page) == 0 || page[0] <= options.Marker {
			return names, nil
		}
		names = append(names, page...)
	}
}
