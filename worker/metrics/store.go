package metrics

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Store counts and times the calls to a store.
func (w *Worker) Store(of store.Store) store.Store { return measured{of, w} }

type measured struct {
	store  store.Store
	counts *Worker
}

var _ store.Store = measured{}

// The operations of a store.
const (
	opCreate     = "create_container"
	opPut        = "put"
	opGet        = "get"
	opDelete     = "delete"
	opList       = "list"
	opContainers = "containers"
)

var operations = []string{opCreate, opPut, opGet, opDelete, opList, opContainers}

// What came of a call.
const (
	outcomeOK          = "ok"
	outcomeNotFound    = "not_found" // an answer like others
	outcomeDenied      = "denied"
	outcomeInvalid     = "invalid"
	outcomeUnavailable = "unavailable"
	outcomeCancelled   = "cancelled" // we did not want to know any more
	outcomeOther       = "other"
)

func storeOutcome(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, store.ErrNotFound):
		return outcomeNotFound
	case errors.Is(err, store.ErrDenied):
		return outcomeDenied
	case errors.Is(err, store.ErrInvalid):
		return outcomeInvalid
	case errors.Is(ctx.Err(), context.Canceled):
		return outcomeCancelled
	case errors.Is(err, store.ErrUnavailable), ctx.Err() != nil: // an end in time is an end without an answer
		return outcomeUnavailable
	}
	return outcomeOther
}

func (m measured) count(ctx context.Context, operation string, began time.Time, err error) {
	m.counts.storeCalls.WithLabelValues(operation, storeOutcome(ctx, err)).Inc()
	m.counts.storeTimes.WithLabelValues(operation).Observe(time.Since(began).Seconds())
}

func (m measured) CreateContainer(ctx context.Context, name string, public bool, readers ...string) error {
	began := time.Now()
	err := m.store.CreateContainer(ctx, name, public, readers...)
	m.count(ctx, opCreate, began, err)
	return err
}

func (m measured) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	began := time.Now()
	err := m.store.Put(ctx, container, object, body, size, p)
	m.count(ctx, opPut, began, err)
	if err == nil {
		m.counts.storeBytes.Add(float64(size))
	}
	return err
}

// Get is timed until the object is open, not until it is read.
func (m measured) Get(ctx context.Context, container, object string) (io.ReadCloser, store.Properties, error) {
	began := time.Now()
	body, p, err := m.store.Get(ctx, container, object)
	m.count(ctx, opGet, began, err)
	return body, p, err
}

func (m measured) Delete(ctx context.Context, container, object string) error {
	began := time.Now()
	err := m.store.Delete(ctx, container, object)
	m.count(ctx, opDelete, began, err)
	return err
}

func (m measured) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	began := time.Now()
	entries, err := m.store.List(ctx, container, query)
	m.count(ctx, opList, began, err)
	return entries, err
}

func (m measured) Containers(ctx context.Context) ([]string, error) {
	began := time.Now()
	names, err := m.store.Containers(ctx)
	m.count(ctx, opContainers, began, err)
	return names, err
}
