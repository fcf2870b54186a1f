package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// deleted tries that an object goes, that its neighbours stay, and that nothing is not an error.
func deleted(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	for _, name := range []string{"a/b", "a/c", "a/b+c", "d"} {
		put(t, s, container, name, "content of "+name)
	}
	for range 2 { // the second time it is gone already
		if err := s.Delete(t.Context(), container, "a/b"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(t.Context(), container, "a/b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get of what was deleted: error %v, want ErrNotFound", err)
		}
	}
	unlisted(t, s, container, "a/b")
	for _, name := range []string{"a/b+c", "a/c", "d"} {
		if content, _ := get(t, s, container, name); content != "content of "+name {
			t.Errorf("the neighbour %s has %q", name, content)
		}
	}
	for _, where := range [][2]string{
		{container, "no/such"}, {container, "a"}, {container, "d/e"}, {"test-" + uuid.NewString(), "object"},
	} {
		if err := s.Delete(t.Context(), where[0], where[1]); err != nil {
			t.Errorf("delete what is not there, %s in %s: %v", where[1], where[0], err)
		}
	}
	if content, _ := get(t, s, container, "a/c"); content != "content of a/c" {
		t.Errorf("after deleting a name that others begin with: %q", content)
	}
	if err := s.Delete(t.Context(), container, "a/../d"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("delete of a bad name: error %v, want ErrInvalid", err)
	}
}

// unlisted waits until an object is no longer in the listing.
func unlisted(t *testing.T, s store.Store, container, object string) {
	t.Helper()
	list(t, s, container, store.Query{Prefix: object, Limit: 1, Marker: object[:len(object)-1]}, []string{object + "+c"})
}

// deletedAndPutAgain lets the name live again, also as the beginning of other names, and while others delete beside it.
func deletedAndPutAgain(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	properties := store.Properties{ContentType: "text/plain; charset=UTF-8", ContentEncoding: "gzip"}
	if err := s.Put(t.Context(), container, "x/y/z", strings.NewReader("old"), 3, properties); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), container, "x/y/z"); err != nil {
		t.Fatal(err)
	}
	put(t, s, container, "x/y", "shorter")
	if content, _ := get(t, s, container, "x/y"); content != "shorter" {
		t.Errorf("got %q", content)
	}
	if err := s.Delete(t.Context(), container, "x/y"); err != nil {
		t.Fatal(err)
	}
	put(t, s, container, "x/y/z", "new")
	content, got := get(t, s, container, "x/y/z")
	if content != "new" || got.ContentEncoding != "" {
		t.Errorf("got %q, %+v; want the new content with properties of its own", content, got)
	}
	var wait sync.WaitGroup
	for writer := range 8 {
		wait.Go(func() {
			for round := range 5 {
				name := fmt.Sprintf("shared/%d/%d", round, writer)
				put(t, s, container, name, name)
				if err := s.Delete(t.Context(), container, name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	list(t, s, container, store.Query{Prefix: "shared/"}, []string{})
}
