package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

func oddNames(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	names := []string{
		"noble/amd64/p/pkg+1~2/20261122_012127_abcde@/result.tar",
		"100%",
		"100%25",
		"a%2Fb",
		"question?mark=1&x=y#fragment",
		"space and  spaces",
		"plus+plus",
		"semi;colon,comma:colon",
		`quote"'<>\back`,
		"brackets[1]{2}|^`",
		"umlaut-ä-ß/日本語/🦎",
		"-dash",
		".hidden/..two/...",
		"tilde~",
		strings.Repeat("long", 60) + "/" + strings.Repeat("name", 60),
	}
	for _, name := range names {
		put(t, s, container, name, "content of "+name)
	}
	for _, name := range names {
		if content, _ := get(t, s, container, name); content != "content of "+name {
			t.Errorf("%s: got %q", name, content)
		}
	}
	slices.Sort(names)
	list(t, s, container, store.Query{}, names)
	for i, name := range names {
		_, last := utf8.DecodeLastRuneInString(name)
		list(t, s, container, store.Query{Prefix: name[:len(name)-last], Limit: 1}, []string{name})
		list(t, s, container, store.Query{Marker: name}, names[i+1:])
	}

	odd := container + "-with + % @ ä"
	if err := s.CreateContainer(t.Context(), odd, false); err != nil {
		t.Fatal(err)
	}
	put(t, s, odd, "a b", "content")
	if content, _ := get(t, s, odd, "a b"); content != "content" {
		t.Errorf("%s: got %q", odd, content)
	}
}

func badNames(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	for _, name := range []string{
		"", "/", "a//b", "/a", "a/", "a/../b", "..", "./a", "a\x00b", "\xff", strings.Repeat("x", 1025),
	} {
		err := s.Put(t.Context(), container, name, strings.NewReader("x"), 1, store.Properties{})
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("put %q: error %v, want ErrInvalid", name, err)
		}
		if _, _, err := s.Get(t.Context(), container, name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("get %q: error %v, want ErrInvalid", name, err)
		}
	}
	for _, name := range []string{"", "a/b", ".", "..", ".hidden", "\xff", strings.Repeat("x", 257)} {
		if err := s.CreateContainer(t.Context(), name, true); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("create %q: error %v, want ErrInvalid", name, err)
		}
		if _, err := s.List(t.Context(), name, store.Query{}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("list %q: error %v, want ErrInvalid", name, err)
		}
	}
	for _, query := range []store.Query{{Delimiter: "ab"}, {Limit: -1}, {Prefix: "\xff"}, {Marker: "\xff"}} {
		if _, err := s.List(t.Context(), container, query); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("list %+v: error %v, want ErrInvalid", query, err)
		}
	}
}

func containers(t *testing.T, s store.Store) {
	base := "test-" + uuid.NewString()
	want := []string{base + "-a", base + "-b", base + "-c"}
	for _, name := range []string{want[2], want[0], want[1]} {
		if err := s.CreateContainer(t.Context(), name, name == want[0]); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, want[1], "object", "content")
	// Making one that exists changes its access and keeps its objects.
	if err := s.CreateContainer(t.Context(), want[1], true); err != nil {
		t.Fatal(err)
	}
	if content, _ := get(t, s, want[1], "object"); content != "content" {
		t.Errorf("after making the container again: %q", content)
	}
	all, err := s.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(all) {
		t.Errorf("not in order: %q", all)
	}
	got := slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, base) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func runsByDelimiter(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	const folder = "noble/amd64/g/green/"
	runs := []string{
		folder + "20261122_012127_aaaaa@", folder + "20261122_012128_bbbbb@", folder + "20261123_000000@",
	}
	for _, run := range runs {
		put(t, s, container, run+"/log.gz", "log")
		put(t, s, container, run+"/result.tar", "result")
	}
	put(t, s, container, "noble/amd64/g/green-tea/20261122_012127_aaaaa@/result.tar", "another package")

	query := store.Query{Prefix: folder, Delimiter: "@"}
	list(t, s, container, query, runs)
	for i, run := range runs {
		after := query
		after.Marker = run
		list(t, s, container, after, runs[i+1:])
	}
	entries, err := s.List(t.Context(), container, query)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.Subdirectory || entry.Size != 0 {
			t.Errorf("not a subdirectory: %+v", entry)
		}
	}
	list(t, s, container, store.Query{Prefix: "noble/amd64/g/", Delimiter: "/"},
		[]string{"noble/amd64/g/green-tea/", "noble/amd64/g/green/"})
	list(t, s, container, store.Query{Prefix: runs[0] + "/"}, []string{runs[0] + "/log.gz", runs[0] + "/result.tar"})
}

func prefixAndMarker(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	for _, name := range []string{"a", "b/1", "b/2", "b/3", "bb", "c"} {
		put(t, s, container, name, name)
	}
	for _, test := range []struct {
		query store.Query
		want  []string
	}{
		{store.Query{}, []string{"a", "b/1", "b/2", "b/3", "bb", "c"}},
		{store.Query{Limit: 2}, []string{"a", "b/1"}},
		{store.Query{Prefix: "b"}, []string{"b/1", "b/2", "b/3", "bb"}},
		{store.Query{Prefix: "b/"}, []string{"b/1", "b/2", "b/3"}},
		{store.Query{Prefix: "b/2"}, []string{"b/2"}},
		{store.Query{Prefix: "z"}, []string{}},
		{store.Query{Marker: "b/2"}, []string{"b/3", "bb", "c"}},
		{store.Query{Marker: "b"}, []string{"b/1", "b/2", "b/3", "bb", "c"}},
		{store.Query{Marker: "b/15"}, []string{"b/2", "b/3", "bb", "c"}},
		{store.Query{Marker: "zz"}, []string{}},
		{store.Query{Prefix: "b/", Marker: "b/1", Limit: 1}, []string{"b/2"}},
		{store.Query{Prefix: "b/", Marker: "a"}, []string{"b/1", "b/2", "b/3"}},
		{store.Query{Prefix: "b/", Marker: "c"}, []string{}},
		{store.Query{Delimiter: "/"}, []string{"a", "b/", "bb", "c"}},
		{store.Query{Delimiter: "/", Limit: 2}, []string{"a", "b/"}},
		{store.Query{Delimiter: "/", Marker: "b/", Limit: 2}, []string{"bb", "c"}},
	} {
		list(t, s, container, test.query, test.want)
	}
}

// order tries names whose order differs between names and paths: the slash sorts after space, plus, dash and dot.
func order(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	want := []string{"a b", "a+1", "a-b/x", "a.b", "a/x", "a/y/z", "a0", "a~", "aä", "b"}
	for _, i := range []int{9, 3, 5, 1, 0, 8, 2, 4, 7, 6} {
		put(t, s, container, want[i], "x")
	}
	if !slices.IsSorted(want) {
		t.Fatal("the test's own list is not in order")
	}
	list(t, s, container, store.Query{}, want)
	for i, name := range want {
		list(t, s, container, store.Query{Marker: name}, want[i+1:])
	}
}

// pages walks through listings longer than a page.
func pages(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	var runs, objects []string
	for i := range 13 {
		run := fmt.Sprintf("noble/amd64/p/pkg/20261122_0121%02d_abcde@", i)
		runs = append(runs, run)
		for _, name := range []string{"log.gz", "result.tar"} {
			objects = append(objects, run+"/"+name)
			put(t, s, container, run+"/"+name, "x")
		}
	}
	list(t, s, container, store.Query{}, objects) // until all are listed
	for _, limit := range []int{1, 2, 3, 5, 13, 14, 100} {
		small := limited{s, limit}
		for name, walk := range map[string]struct {
			delimiter, marker string
			want              []string
		}{
			"objects":             {"", "", objects},
			"runs":                {"@", "", runs},
			"runs after a marker": {"@", runs[4], runs[5:]},
			"objects after one":   {"", objects[6], objects[7:]},
		} {
			var got []string
			for entry, err := range store.Walk(t.Context(), small, container, "noble/amd64/p/", walk.delimiter, walk.marker) {
				if err != nil {
					t.Fatalf("%s in pages of %d: %v", name, limit, err)
				}
				got = append(got, entry.Name)
			}
			if diff := cmp.Diff(walk.want, got); diff != "" {
				t.Errorf("%s in pages of %d (-want +got):\n%s", name, limit, diff)
			}
		}
	}
}

// manyWriters puts from many goroutines, also the same name: one of the contents wins, whole.
func manyWriters(t *testing.T, s store.Store) {
	container := newContainer(t, s)
	const writers = 8
	var wait sync.WaitGroup
	content := func(writer int) string { return strings.Repeat(fmt.Sprint(writer), 50_000) }
	for writer := range writers {
		wait.Go(func() {
			for _, name := range []string{"shared", fmt.Sprintf("own/%d", writer)} {
				body := strings.NewReader(content(writer))
				err := s.Put(t.Context(), container, name, body, body.Size(), store.Properties{})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	var want []string
	for writer := range writers {
		name := fmt.Sprintf("own/%d", writer)
		want = append(want, name)
		if got, _ := get(t, s, container, name); got != content(writer) {
			t.Errorf("%s has another's content", name)
		}
	}
	got, _ := get(t, s, container, "shared")
	if len(got) != 50_000 || strings.Trim(got, got[:1]) != "" {
		t.Error("the shared object is mixed from several")
	}
	list(t, s, container, store.Query{}, append(want, "shared"))
}
