package storetest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// readersNames tries what may stand where a user's name is expected.
func readersNames(t *testing.T, s store.Store) {
	name := "test-" + uuid.NewString()
	for _, reader := range []string{"", "*", ".r:*", "a:b", "a,b", "-x", "two words", "line\nbreak", strings.Repeat("x", 300)} {
		if err := s.CreateContainer(t.Context(), name, false, "joe", reader); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("reader %q: error %v, want ErrInvalid", reader, err)
		}
	}
	if err := s.CreateContainer(t.Context(), name, true, "joe"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("readers of a public container: error %v, want ErrInvalid", err)
	}
	if _, err := s.List(t.Context(), name, store.Query{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("list: error %v, want ErrNotFound: nothing was to be made", err)
	}
	if err := s.CreateContainer(t.Context(), name, false, "joe", "a.team+x@example.com"); err != nil {
		t.Error(err)
	}
}

// RunReader tries what a store promises to a user of the store's with another account's or no rights of his own, who is called
// by a name: he can list and read the containers whose reader he is, no others, and write nowhere.
func RunReader(t *testing.T, open, openAsReader Factory, name string) {
	owner, reader := open(t), openAsReader(t)
	const object = "noble/amd64/g/green/20261122_012127_aaaaa@/result.tar"
	made := func(t *testing.T, readers ...string) string {
		t.Helper()
		container := "test-" + uuid.NewString()
		if err := owner.CreateContainer(t.Context(), container, false, readers...); err != nil {
			t.Fatal(err)
		}
		put(t, owner, container, object, "content")
		return container
	}
	refused := func(t *testing.T, container string) {
		t.Helper()
		if _, err := reader.List(t.Context(), container, store.Query{}); !errors.Is(err, store.ErrDenied) {
			t.Errorf("list: error %v, want ErrDenied", err)
		}
		if _, _, err := reader.Get(t.Context(), container, object); !errors.Is(err, store.ErrDenied) {
			t.Errorf("get: error %v, want ErrDenied", err)
		}
	}
	t.Run("his", func(t *testing.T) {
		container := made(t, "somebody-else", name)
		list(t, reader, container, store.Query{}, []string{object})
		body, _, err := reader.Get(t.Context(), container, object)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(content) != "content" {
			t.Errorf("got %q: %v", content, err)
		}
		err = reader.Put(t.Context(), container, object, strings.NewReader("x"), 1, store.Properties{})
		if !errors.Is(err, store.ErrDenied) {
			t.Errorf("put: error %v, want ErrDenied", err)
		}
		if err := reader.Delete(t.Context(), container, object); !errors.Is(err, store.ErrDenied) {
			t.Errorf("delete: error %v, want ErrDenied", err)
		}
		if err := reader.CreateContainer(t.Context(), container, true); !errors.Is(err, store.ErrDenied) {
			t.Errorf("make it public: error %v, want ErrDenied", err)
		}
	})
	t.Run("another's", func(t *testing.T) { refused(t, made(t, name+"2", "x"+name)) })
	t.Run("nobody's", func(t *testing.T) { refused(t, made(t)) })
	t.Run("no longer his", func(t *testing.T) {
		container := made(t, name)
		list(t, reader, container, store.Query{}, []string{object})
		if err := owner.CreateContainer(t.Context(), container, false); err != nil {
			t.Fatal(err)
		}
		refused(t, container)
	})
}
