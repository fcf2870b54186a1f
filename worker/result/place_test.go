package result

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	want := map[int]Class{
		0: Pass, 2: Pass, 4: Fail, 6: Fail, 8: Neutral, 12: Fail, 14: Fail, 16: Tmpfail, 20: Error, 99: Denylisted,
		1: OtherFail, 3: OtherFail, 10: OtherFail, 18: OtherFail, 100: OtherFail, 137: OtherFail, -9: OtherFail,
	}
	known := map[Class]bool{}
	for _, class := range Classes {
		known[class] = true
	}
	for exit, class := range want {
		if got := Classify(exit); got != class {
			t.Errorf("exit code %d: %s, want %s", exit, got, class)
		}
		if !known[class] {
			t.Errorf("%s is not among Classes", class)
		}
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for pkg, want := range map[string]string{
		"green": "g", "libpng": "libp", "lib": "lib", "libx": "libx", "l": "l", "li": "l", "liba52": "liba", "0ad": "0",
		"Lib": "L", "": "",
	} {
		if got := Prefix(pkg); got != want {
			t.Errorf("%q: %q, want %q", pkg, got, want)
		}
	}
}

func TestContainer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ppas    []string
		private bool
		want    string
	}{
		{nil, false, "autopkgtest-noble"},
		{[]string{"joe/foo"}, false, "autopkgtest-noble-joe-foo"},
		{[]string{"joe/foo", "jane/bar"}, false, "autopkgtest-noble-jane-bar"},
		{nil, true, "private-autopkgtest-noble"},
		{[]string{"robot:tok@en@joe/foo:ABCDEF"}, true, "private-autopkgtest-noble-joe-foo"},
		{[]string{"joe/foo:ABCDEF"}, false, "autopkgtest-noble-joe-foo"},
	} {
		if got := Container("noble", test.ppas, test.private); got != test.want {
			t.Errorf("%v, private %v: %s, want %s", test.ppas, test.private, got, test.want)
		}
	}
}

func TestNewRunID(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 3600)
	body := []byte("green\n{\"triggers\": [\"green/2\"]}")
	id := NewRunID(time.Date(2026, 11, 22, 2, 21, 27, 999, east), body, "amd64", "noble")
	// printf 'green\n{"triggers": ["green/2"]}amd64noble' | sha1sum | cut -c1-5
	if want := RunID("20261122_012127_e9d52@"); id != want {
		t.Errorf("%s, want %s", id, want)
	}
	at, err := id.Time()
	if want := time.Date(2026, 11, 22, 1, 21, 27, 0, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("time %s, %v; want %s", at, err, want)
	}
	for name, other := range map[string]RunID{
		"body":    NewRunID(at, []byte("green"), "amd64", "noble"),
		"arch":    NewRunID(at, body, "arm64", "noble"),
		"release": NewRunID(at, body, "amd64", "jammy"),
	} {
		if other == id || !other.Valid() {
			t.Errorf("another %s: %s", name, other)
		}
	}
}

func TestRunIDValid(t *testing.T) {
	t.Parallel()
	for id, want := range map[RunID]bool{
		"20261122_012127_abcde@":       true,
		"20261122_012127@":             true, // of 2015
		"20240229_235959_00000@":       true,
		"20261122_012127_abcde":        false,
		"20261122_012127_@":            false,
		"20261122_012127_abcde@/":      false,
		"20261122_012127_ab/de@":       false,
		"20261122_012127_abcde@\n":     false,
		"20261322_012127_abcde@":       false,
		"20230229_000000_abcde@":       false,
		"20261122_242127_abcde@":       false,
		"20261122-012127_abcde@":       false,
		"":                             false,
		"@":                            false,
		"x20261122_012127_abcde@":      false,
		RunID(strings.Repeat("1", 30)): false,
	} {
		if got := id.Valid(); got != want {
			t.Errorf("%q: valid %v, want %v", id, got, want)
		}
	}
}

func TestLocation(t *testing.T) {
	t.Parallel()
	for _, l := range []Location{
		{"", "noble", "amd64", "green", "20261122_012127_abcde@"},
		{"", "noble", "arm64", "libpng1.6", "20261122_012127@"},
		{"", "24.04", "amd64v3", "g++-12", "20261122_012127_abcde@"},
	} {
		dir := l.Dir()
		got, err := ParseDir(dir)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(l, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
		if got, want := l.Object(LogObject), dir+"/log.gz"; got != want {
			t.Errorf("object %s, want %s", got, want)
		}
	}
	const want = "noble/amd64/libp/libpng/20261122_012127_abcde@"
	l := Location{"c", "noble", "amd64", "libpng", "20261122_012127_abcde@"}
	if got := l.Dir(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := PackagePrefix("noble", "amd64", "libpng"), "noble/amd64/libp/libpng/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Upstream's seeding of a new release invents prefixes.
	if got, err := ParseDir("noble/amd64/x/libpng/20261122_012127_abcde@"); err != nil || got.Package != "libpng" {
		t.Errorf("made-up prefix: %+v, %v", got, err)
	}
}

func TestParseDirRefuses(t *testing.T) {
	t.Parallel()
	const run = "20261122_012127_abcde@"
	for _, dir := range []string{
		"", "/", "noble/amd64/g/green", "/noble/amd64/g/green/" + run, "noble/amd64/g/green/" + run + "/",
		"noble/amd64/g/green/" + run + "/log.gz", "noble/amd64/g/green/latest", "noble//g/green/" + run,
		"noble/amd64/g/../" + run, "../amd64/g/green/" + run, "no-ble/amd64/g/green/" + run, "noble/amd64//green/" + run,
		"noble/amd64/../green/" + run, "noble/amd64/g/gr een/" + run, "noble/amd64/g/-green/" + run,
	} {
		if l, err := ParseDir(dir); err == nil {
			t.Errorf("%q is read as %+v", dir, l)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", dir)) {
			t.Errorf("%q: the error does not name it: %v", dir, err)
		}
	}
}

func FuzzParseDir(f *testing.F) {
	f.Add("noble/amd64/libp/libpng/20261122_012127_abcde@")
	f.Add("noble/amd64/g/green/20261122_012127@")
	f.Add("/a/b//c@")
	f.Fuzz(func(t *testing.T, dir string) {
		l, err := ParseDir(dir)
		if err != nil {
			return
		}
		again, err := ParseDir(l.Dir())
		if err != nil || again != l {
			t.Fatalf("%q: %+v, then %+v, %v", dir, l, again, err)
		}
	})
}
