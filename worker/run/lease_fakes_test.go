package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// other is a life of an equal request at another worker.
type other struct {
	b       *bench
	body    []byte
	object  string
	content lease.Content
	stop    func() // its beat
	unsure  bool   // it dies before it has noted that its result is in order
}

// other makes one beside a life.
func (b *bench) other(t *testing.T, beside *life) *other {
	t.Helper()
	handle := newID()
	return &other{
		stop: func() {}, b: b, body: beside.delivery.Body, object: beside.entry.identity.String() + "/" + handle,
		content: lease.Content{Worker: "elsewhere-1", Handle: handle, Queue: noble.Name(), Since: time.Now()},
	}
}

func (o *other) write(t *testing.T, content string) *other {
	t.Helper()
	err := errors.Join(
		o.b.store.CreateContainer(context.Background(), lease.Container, false),
		o.b.store.Store.Put(context.Background(), lease.Container, o.object, strings.NewReader(content), int64(len(content)), store.Properties{}))
	if err != nil {
		t.Error(err)
	}
	return o
}

// begin writes its lease.
func (o *other) begin(t *testing.T) *other {
	t.Helper()
	o.content.Beat++
	encoded, err := json.Marshal(o.content)
	if err != nil {
		t.Fatal(err)
	}
	return o.write(t, string(encoded))
}

// beat keeps the lease alive for some time, or until it is over.
func (o *other) beat(t *testing.T, d time.Duration) *other {
	quit, ended := make(chan struct{}), make(chan struct{})
	o.stop = sync.OnceFunc(func() {
		close(quit)
		<-ended
	})
	t.Cleanup(o.stop)
	go func() {
		defer close(ended)
		for at := lease.Beat; at <= d; at += lease.Beat {
			select {
			case <-time.After(lease.Beat):
				o.begin(t)
			case <-quit:
				return
			}
		}
	}()
	return o
}

// publish stores its result.
func (o *other) publish(t *testing.T, when time.Time) *other {
	t.Helper()
	pkg, _, _ := strings.Cut(string(o.body), "\n")
	var tar bytes.Buffer
	outcome := result.Result{Source: pkg, Version: "1:2-3", ExitCode: 4, Request: o.body, Handle: o.content.Handle}
	if err := outcome.WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	at := result.Location{
		Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: pkg,
		RunID: result.NewRunID(when, o.body, "amd64", "noble"),
	}
	err := errors.Join(
		o.b.store.CreateContainer(t.Context(), at.Container, true),
		o.b.store.Store.Put(t.Context(), at.Container, at.Object(result.TarObject), bytes.NewReader(tar.Bytes()), int64(tar.Len()), store.Properties{}))
	if err != nil {
		t.Error(err)
	}
	if o.content.Published = string(at.RunID); o.content.Beat > 0 && !o.unsure {
		o.begin(t)
	}
	return o
}

// end says that its life is over, without its message being settled.
func (o *other) end(t *testing.T) *other {
	o.stop()
	o.content.Ended = true
	return o.begin(t)
}

// settle removes its lease.
func (o *other) settle(t *testing.T) *other {
	o.stop()
	if err := o.b.store.Store.Delete(context.Background(), lease.Container, o.object); err != nil {
		t.Error(err)
	}
	return o
}

// left lists what is left of leases.
func (b *bench) left(t *testing.T) []string {
	t.Helper()
	b.leases.Wait()
	var names []string
	for entry, err := range store.Walk(t.Context(), b.store.Store, lease.Container, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name)
	}
	return names
}

func readLease(t *testing.T, s store.Store, object string) (content lease.Content, err error) {
	t.Helper()
	body, _, err := s.Get(t.Context(), lease.Container, object)
	if err != nil {
		return lease.Content{}, err
	}
	defer func() { _ = body.Close() }()
	return content, json.NewDecoder(body).Decode(&content)
}
