// Package storetest is the suite that every result store passes: what package store promises, tried on a store. A new
// backend is finished when Run passes.
//
// It uses containers of its own names, so that it can run beside others on a real server, and leaves them behind.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Factory opens the store under test. It is called once per test; the stores may share their content.
type Factory func(t *testing.T) store.Store

// Run tries everything that a store with write access promises.
func Run(t *testing.T, open Factory) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"put and get", putAndGet},
		{"properties", keepProperties},
		{"overwrite", overwrite},
		{"empty object", emptyObject},
		{"large object", largeObject},
		{"body from its position", bodyFromItsPosition},
		{"body of another length", bodyOfAnotherLength},
		{"body that fails", bodyThatFails},
		{"odd names", oddNames},
		{"bad names", badNames},
		{"what is not there", notThere},
		{"delete", deleted},
		{"delete and put again", deletedAndPutAgain},
		{"containers", containers},
		{"readers' names", readersNames},
		{"runs by delimiter", runsByDelimiter},
		{"prefix and marker", prefixAndMarker},
		{"order", order},
		{"pages", pages},
		{"many writers", manyWriters},
		{"ended context", endedContext},
		{"close early", closeEarly},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// newContainer makes a container of a name that nobody else has.
func newContainer(t *testing.T, s store.Store) string {
	t.Helper()
	name := "test-" + uuid.NewString()
	if err := s.CreateContainer(t.Context(), name, true); err != nil {
		t.Fatal(err)
	}
	return name
}

func put(t *testing.T, s store.Store, container, object, content string) {
	t.Helper()
	err := s.Put(t.Context(), container, object, strings.NewReader(content), int64(len(content)), store.Properties{})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s store.Store, container, object string) (string, store.Properties) {
	t.Helper()
	body, properties, err := s.Get(t.Context(), container, object)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content), properties
}

// listed is how long a store may take to list what was just written. Swift's container server does it at once, or within
// its updater's interval when it was busy.
const listed = 30 * time.Second

// list returns the names of one page. It asks until there are as many as wanted.
func list(t *testing.T, s store.Store, container string, query store.Query, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), listed)
	defer cancel()
	for {
		entries, err := s.List(ctx, container, query)
		if err != nil {
			t.Fatalf("list %+v: %v", query, err)
		}
		names := []string{}
		for _, entry := range entries {
			names = append(names, entry.Name)
		}
		diff := cmp.Diff(want, names)
		if diff == "" {
			return
		}
		if len(names) >= len(want) {
			t.Fatalf("list %+v (-want +got):\n%s", query, diff)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("list %+v after %s (-want +got):\n%s", query, listed, diff)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func putAndGet(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	put(t, s, container, "a/b", "content")
	content, properties := get(t, s, container, "a/b")
	if content != "content" || properties.Size != 7 {
		t.Errorf("got %q, %d bytes told", content, properties.Size)
	}
	entries, err := s.List(t.Context(), container, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Fatalf("listing: %+v", entries)
	}
	entry := entries[0]
	if entry.Name != "a/b" || entry.Size != 7 || entry.Subdirectory {
		t.Errorf("listing: %+v", entry)
	}
	if age := time.Since(entry.Modified).Abs(); age > time.Hour {
		t.Errorf("modified %s, %s away from now", entry.Modified, age)
	}
}

func keepProperties(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	// gzip in name and encoding only: a store must neither look into an object nor unpack it.
	want := store.Properties{ContentType: "text/plain; charset=UTF-8", ContentEncoding: "gzip", Size: 3}
	err := s.Put(t.Context(), container, "log.gz", strings.NewReader("xyz"), 3, want)
	if err != nil {
		t.Fatal(err)
	}
	content, got := get(t, s, container, "log.gz")
	if diff := cmp.Diff(want, got); diff != "" || content != "xyz" {
		t.Errorf("content %q, properties (-want +got):\n%s", content, diff)
	}
	put(t, s, container, "plain", "xyz")
	_, got = get(t, s, container, "plain")
	if got.ContentType != "application/octet-stream" || got.ContentEncoding != "" {
		t.Errorf("defaults: %+v", got)
	}
}

func overwrite(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	put(t, s, container, "object", "first, and longer")
	put(t, s, container, "object", "second")
	if content, properties := get(t, s, container, "object"); content != "second" || properties.Size != 6 {
		t.Errorf("got %q, %+v", content, properties)
	}
}

func emptyObject(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	put(t, s, container, "empty", "")
	if content, properties := get(t, s, container, "empty"); content != "" || properties.Size != 0 {
		t.Errorf("got %q, %+v", content, properties)
	}
}

func largeObject(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	content := pattern(8 << 20)
	err := s.Put(t.Context(), container, "large", bytes.NewReader(content), int64(len(content)), store.Properties{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := get(t, s, container, "large"); got != string(content) {
		t.Errorf("%d bytes came back, or others than the %d that were put", len(got), len(content))
	}
}

// pattern is content in which every part looks different.
func pattern(size int) []byte {
	var content bytes.Buffer
	for i := 0; content.Len() < size; i++ {
		fmt.Fprintf(&content, "%d ", i)
	}
	return content.Bytes()[:size]
}

func bodyFromItsPosition(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	body := strings.NewReader("skipped content")
	if _, err := body.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), container, "object", body, 7, store.Properties{}); err != nil {
		t.Fatal(err)
	}
	if content, _ := get(t, s, container, "object"); content != "content" {
		t.Errorf("got %q", content)
	}
}

func bodyOfAnotherLength(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	for name, size := range map[string]int64{"shorter": 8, "longer": 6, "nothing": 0} {
		err := s.Put(t.Context(), container, name, strings.NewReader("content"), size, store.Properties{})
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("7 bytes put as %d: error %v, want ErrInvalid", size, err)
		}
		if _, _, err := s.Get(t.Context(), container, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("7 bytes put as %d: get: error %v, want ErrNotFound", size, err)
		}
	}
	put(t, s, container, "kept", "whole")
	if err := s.Put(t.Context(), container, "kept", strings.NewReader("part"), 5, store.Properties{}); err == nil {
		t.Error("a body that was too short was stored")
	}
	if content, _ := get(t, s, container, "kept"); content != "whole" {
		t.Errorf("after a failed put: %q", content)
	}
}

var errBroken = errors.New("broken on purpose")

// brokenBody fails after some bytes.
type brokenBody struct{ io.ReadSeeker }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p[:min(len(p), 3)])
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return n, err
}

func bodyThatFails(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	err := s.Put(t.Context(), container, "object", brokenBody{strings.NewReader("content")}, 20, store.Properties{})
	if !errors.Is(err, errBroken) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want the body's, and not the store's", err)
	}
	if _, _, err := s.Get(t.Context(), container, "object"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: error %v, want ErrNotFound", err)
	}
}

func notThere(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	nowhere := "test-" + uuid.NewString()
	if _, _, err := s.Get(t.Context(), container, "no/such"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of a missing object: error %v, want ErrNotFound", err)
	}
	if _, _, err := s.Get(t.Context(), nowhere, "object"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get from a missing container: error %v, want ErrNotFound", err)
	}
	if _, err := s.List(t.Context(), nowhere, store.Query{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("list of a missing container: error %v, want ErrNotFound", err)
	}
	err := s.Put(t.Context(), nowhere, "object", strings.NewReader("x"), 1, store.Properties{})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("put into a missing container: error %v, want ErrNotFound", err)
	}
	list(t, s, container, store.Query{}, []string{})
	list(t, s, container, store.Query{Prefix: "no/such/"}, []string{})
}

func endedContext(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	put(t, s, container, "object", "content")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, get := s.Get(ctx, container, "object")
	_, list := s.List(ctx, container, store.Query{})
	_, containers := s.Containers(ctx)
	for name, err := range map[string]error{
		"create":     s.CreateContainer(ctx, container, true),
		"put":        s.Put(ctx, container, "other", strings.NewReader("x"), 1, store.Properties{}),
		"get":        get,
		"delete":     s.Delete(ctx, container, "object"),
		"list":       list,
		"containers": containers,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want context.Canceled", name, err)
		}
	}
}

func closeEarly(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	content := pattern(1 << 20)
	err := s.Put(t.Context(), container, "object", bytes.NewReader(content), int64(len(content)), store.Properties{})
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := s.Get(t.Context(), container, "object")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 10)
	if _, err := io.ReadFull(body, first); err != nil || !bytes.Equal(first, content[:10]) {
		t.Errorf("read %q: %v", first, err)
	}
	if err := body.Close(); err != nil {
		t.Errorf("close before the end: %v", err)
	}
}
