package storetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// limited asks for small pages.
type limited struct {
	store.Store
	limit int
}

func (l limited) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	query.Limit = l.limit
	return l.Store.List(ctx, container, query)
}

// RunAnonymous tries what a store promises to somebody without an account: public containers can be listed and read,
// others not, and nothing can be written.
func RunAnonymous(t *testing.T, open, openAnonymous Factory) {
	owner, anonymous := open(t), openAnonymous(t)
	container := newContainer(t, owner)
	const run = "noble/amd64/g/g++-12/20261122_012127_aaaaa@"
	properties := store.Properties{ContentType: "text/plain; charset=UTF-8", ContentEncoding: "gzip", Size: 3}
	if err := owner.Put(t.Context(), container, run+"/log.gz", strings.NewReader("xyz"), 3, properties); err != nil {
		t.Fatal(err)
	}

	t.Run("public", func(t *testing.T) {
		list(t, anonymous, container, store.Query{Prefix: "noble/amd64/g/g++-12/", Delimiter: "@"}, []string{run})
		body, got, err := anonymous.Get(t.Context(), container, run+"/log.gz")
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(content) != "xyz" {
			t.Errorf("got %q: %v", content, err)
		}
		if diff := cmp.Diff(properties, got); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
		if _, _, err := anonymous.Get(t.Context(), container, "no/such"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get of a missing object: error %v, want ErrNotFound", err)
		}
	})
	t.Run("no writing", func(t *testing.T) {
		err := anonymous.Put(t.Context(), container, "object", strings.NewReader("x"), 1, store.Properties{})
		if !errors.Is(err, store.ErrDenied) {
			t.Errorf("put: error %v, want ErrDenied", err)
		}
		if err := anonymous.CreateContainer(t.Context(), container, true); !errors.Is(err, store.ErrDenied) {
			t.Errorf("create: error %v, want ErrDenied", err)
		}
		if err := anonymous.Delete(t.Context(), container, run+"/log.gz"); !errors.Is(err, store.ErrDenied) {
			t.Errorf("delete: error %v, want ErrDenied", err)
		}
		if _, err := anonymous.Containers(t.Context()); !errors.Is(err, store.ErrDenied) {
			t.Errorf("containers: error %v, want ErrDenied", err)
		}
	})
	t.Run("private", func(t *testing.T) {
		if err := owner.CreateContainer(t.Context(), container, false); err != nil {
			t.Fatal(err)
		}
		if _, err := anonymous.List(t.Context(), container, store.Query{}); !errors.Is(err, store.ErrDenied) {
			t.Errorf("list: error %v, want ErrDenied", err)
		}
		if _, _, err := anonymous.Get(t.Context(), container, run+"/log.gz"); !errors.Is(err, store.ErrDenied) {
			t.Errorf("get: error %v, want ErrDenied", err)
		}
		if _, _, err := owner.Get(t.Context(), container, run+"/log.gz"); err != nil {
			t.Errorf("the owner's get: %v", err)
		}
	})
}
