package lists

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	list, err := Parse([]byte("# the whole list\r\n\r\n  # Bug 1234.\n#hangs\n  green/armhf  \r\nblue\n\n# not blue's\n\nlib*/all/noble\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.entries {
		list.entries[i].pattern = nil
	}
	want := []Entry{
		{Text: "green/armhf", Line: 5, Comment: "Bug 1234. hangs"},
		{Text: "blue", Line: 6, Comment: "Bug 1234. hangs"}, // a comment is for all entries below it, up to an empty line
		{Text: "lib*/all/noble", Line: 10},
	}
	if diff := cmp.Diff(want, list.entries, cmp.AllowUnexported(Entry{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for content, reason := range map[string]string{
		"green\nblue # why\n":              "line 2: \"blue # why\": \"blue # why\" is not a name",
		"a/b/c/d":                          "line 1: \"a/b/c/d\" has 4 parts",
		"green/":                           `"" is not a name`,
		"/armhf":                           `"" is not a name`,
		"green//noble":                     `"" is not a name`,
		"lib[a-z":                          "a [ without its ]",
		"lib[":                             "a [ without its ]",
		"lib[]":                            "a [ without its ]",
		"lib[!]":                           "a [ without its ]",
		"lib[/]":                           "a [ without its ]",
		"grün":                             "is not a name",
		"<<<<<<< HEAD":                     "is not a name",
		"=======":                          "is not a name",
		"green\x00":                        "is not a name",
		strings.Repeat("x", 1001):          "an entry of 1001 bytes",
		strings.Repeat("# x\n", maxList/3): "at most",
	} {
		_, err := Parse([]byte(content))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.40q: error %v, want one that says %q", content, err, reason)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	here := Target{"libgreen2", "armhf", "noble"}
	for entry, want := range map[string]bool{
		"libgreen2":                true,
		"libgreen2/all/all":        true,
		"libgreen2/armhf":          true,
		"libgreen2/armhf/noble":    true,
		"libgreen2/all/noble":      true,
		"libgreen2/amd64":          false,
		"libgreen2/armhf/jammy":    false,
		"libgreen2/amd64/noble":    false,
		"libgreen":                 false,
		"green2":                   false,
		"Libgreen2":                false,
		"*":                        true,
		"lib*":                     true,
		"lib*/arm*":                true,
		"*/armhf":                  true,
		"*/*/noble":                true,
		"*/*/n*e":                  true,
		"libgreen?":                true,
		"libgreen??":               false,
		"libgreen[0-9]":            true,
		"libgreen[!0-9]":           false,
		"libgreen[3-9]":            false,
		"libgreen[9-3]":            false,
		"libgreen[13-]":            false,
		"lib[a-z]*[2]/arm[h]f":     true,
		"lib[]g]reen2":             true,
		"*green*":                  true,
		"*e*e*e*":                  false, // the parts that are left out are the word all
		"libgreen2/all":            true,
		"libgreen2/???hf/noble":    true,
		"*x*":                      false,
		"**libgreen2**/**/**":      true,
		"libgreen2/arm[!h]f/noble": false,
	} {
		list, err := Parse([]byte(entry))
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		if _, found := list.Find(here); found != want {
			t.Errorf("%s: found %v, want %v", entry, found, want)
		}
	}
}

// FuzzParse: whatever a file holds, reading it and looking something up in it ends, soon, and what is accepted has an
// entry for each line that it should.
func FuzzParse(f *testing.F) {
	for _, content := range []string{"# c\ngreen/armhf\n", "lib[a-z]*?/all/noble", "[]a]\n[!b-]", "*a*a*a*a*b", "\xff\x00", "a/b/c/d"} {
		f.Add([]byte(content), "libgreen2", "armhf")
	}
	f.Fuzz(func(t *testing.T, content []byte, pkg, arch string) {
		list, err := Parse(content)
		if err != nil {
			return
		}
		entries := 0
		for line := range bytes.Lines(content) {
			if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
				entries++
			}
		}
		if entries != len(list.entries) {
			t.Fatalf("%d entries of %d lines", len(list.entries), entries)
		}
		entry, found := list.Find(Target{pkg, arch, "noble"})
		if found != (entry.Line > 0) {
			t.Fatalf("found %v, entry %+v", found, entry)
		}
		// A name is its own pattern.
		if partPattern.MatchString(pkg) && !strings.ContainsAny(pkg, "*?[]") && len(pkg) <= 1000 {
			own, err := Parse([]byte(pkg))
			if err != nil {
				t.Fatal(err)
			}
			if _, found := own.Find(Target{pkg, arch, "noble"}); !found {
				t.Fatalf("%q does not stand for itself", pkg)
			}
		}
	})
}

// folder is a folder of lists with a log.
type folder struct {
	t     *testing.T
	path  string
	lists *Lists
	log   *bytes.Buffer
}

func newFolder(t *testing.T, words map[Kind][]string) *folder {
	t.Helper()
	f := &folder{t: t, path: t.TempDir(), log: new(bytes.Buffer)}
	for _, kind := range Kinds {
		f.write(kind, "")
	}
	lists, err := New(f.path, words, slog.New(slog.NewTextHandler(f.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.lists = lists
	return f
}

// write replaces a file as git does, with a new one.
func (f *folder) write(kind Kind, content string) {
	f.t.Helper()
	path := filepath.Join(f.path, string(kind))
	if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o600), os.Rename(path+".new", path)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) remove(kind Kind) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.path, string(kind))); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) has(kind Kind, pkg string) bool {
	return f.lists.Has(kind, Target{pkg, "amd64", "noble"})
}

func (f *folder) version(kind Kind) Version {
	for _, v := range f.lists.Versions() {
		if v.Kind == kind {
			return v
		}
	}
	f.t.Fatalf("no version of %s", kind)
	return Version{}
}

func (f *folder) said(text string) int { return strings.Count(f.log.String(), text) }

func TestListsFollowTheirFiles(t *testing.T) {
	t.Parallel()
	f := newFolder(t, map[Kind][]string{Big: {"fixed"}})
	if f.has(Big, "green") || !f.has(Big, "fixed") || f.has(Long, "fixed") {
		t.Error("the lists at first")
	}
	f.write(Big, "green\n")
	if !f.has(Big, "green") || f.has(Long, "green") || !f.has(Big, "fixed") {
		t.Error("a new entry is not seen")
	}
	v := f.version(Big)
	if v.Entries != 1 || v.SHA256 == "" || time.Since(v.Read) > time.Minute || v.Problem != "" {
		t.Errorf("version %+v", v)
	}
	// Written over in place, of the same size, within the same tick of the clock.
	path := filepath.Join(f.path, string(Big))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte("white\n"), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if f.has(Big, "green") || !f.has(Big, "white") {
		t.Error("a change in place is not seen")
	}
}

// A file that was written within a tick of the clock may be written again without a sign, so it is read again; and reading
// the same again is no news.
func TestListsReadAgain(t *testing.T) {
	t.Parallel()
	f := newFolder(t, nil)
	f.write(Big, "green\n")
	for range 3 {
		_ = f.has(Big, "green")
	}
	if f.said("read a list of packages") != 1 {
		t.Errorf("said more than once\n%s", f.log)
	}
	info, err := os.Stat(filepath.Join(f.path, string(Big)))
	if err != nil {
		t.Fatal(err)
	}
	fresh, old := signatureOf(info, info.ModTime().Add(tick/2)), signatureOf(info, info.ModTime().Add(time.Hour))
	if fresh.settled || !old.settled {
		t.Errorf("settled: %v after half a tick, %v after an hour", fresh.settled, old.settled)
	}
	// As if the write above had left no sign.
	file := f.lists.files[0]
	file.seen, file.hash = fresh, "of other content"
	if _ = f.has(Big, "green"); file.hash == "of other content" {
		t.Error("a fresh file is not read again")
	}
	file.seen, file.hash = old, "of other content"
	if err := os.Chtimes(file.path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _ = f.has(Big, "green"); file.hash == "of other content" {
		t.Error("a file with other times is not read again")
	}
}

func TestListsKeepTheLastGoodOne(t *testing.T) {
	t.Parallel()
	f := newFolder(t, nil)
	f.write(Never, "green\n")
	if !f.has(Never, "green") {
		t.Fatal("the list is not read")
	}
	good := f.version(Never)
	const kept = "stays in force"
	for number, spoil := range []func(){
		func() { f.write(Never, "<<<<<<< HEAD\nblue\n") },
		func() { f.remove(Never) },
		func() {
			f.write(Never, "blue")
			f.remove(Never)
			_ = os.Mkdir(filepath.Join(f.path, string(Never)), 0o700)
		},
	} {
		spoil()
		for range 3 {
			if !f.has(Never, "green") || f.has(Never, "blue") {
				t.Fatalf("%d: the last good list is not in force", number)
			}
		}
		v := f.version(Never)
		if f.said(kept) != number+1 || v.Problem == "" || v.SHA256 != good.SHA256 || !v.Read.Equal(good.Read) {
			t.Errorf("%d: said %d times, %+v\n%s", number, f.said(kept), v, f.log)
		}
	}
	if err := os.Remove(filepath.Join(f.path, string(Never))); err != nil {
		t.Fatal(err)
	}
	f.write(Never, "blue\n")
	if f.has(Never, "green") || !f.has(Never, "blue") || f.said("can be used again") != 1 || f.version(Never).Problem != "" {
		t.Errorf("the mended list is not in force\n%s", f.log)
	}
	// The same again is no news, the good one of before is.
	f.write(Never, "a b\n")
	_ = f.has(Never, "blue")
	f.write(Never, "blue\n")
	if !f.has(Never, "blue") || f.said("can be used again") != 2 {
		t.Errorf("the good list is back\n%s", f.log)
	}
}

func TestListsWithoutFiles(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	lists, err := New(filepath.Join(t.TempDir(), "none"), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if lists.Has(Never, Target{"green", "amd64", "noble"}) {
			t.Error("an entry of nothing")
		}
	}
	if got := strings.Count(log.String(), "the list stays empty"); got != 1 {
		t.Errorf("said %d times, want once\n%s", got, log.String())
	}
	without, err := New("", map[Kind][]string{Never: {"green"}}, slog.New(slog.DiscardHandler))
	if err != nil || !without.Has(Never, Target{"green", "amd64", "noble"}) || len(without.Versions()) != 0 {
		t.Errorf("lists without a folder: %v", err)
	}
	if _, err := New("", map[Kind][]string{Never: {"a/b/c/d"}}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "never_run") {
		t.Errorf("wrong words: error %v", err)
	}
}

func TestNeedsMachine(t *testing.T) {
	t.Parallel()
	f := newFolder(t, nil)
	f.write(VM, "green\n")
	for arch, want := range map[string]bool{"amd64": true, "amd64v3": true, "s390x": true, "arm64": false, "i386": false} {
		if got := f.lists.NeedsMachine(Target{"green", arch, "noble"}); got != want {
			t.Errorf("%s: %v", arch, got)
		}
	}
	if f.lists.NeedsMachine(Target{"blue", "amd64", "noble"}) {
		t.Error("a package that is not listed")
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	f := newFolder(t, nil)
	f.write(Never, "# Hangs the machine: bug 7.\n\x01# \ngreen/armhf\n\nblue/all/trusty\n")
	f.write(Never, "# Hangs the machine:\x1b[2J bug 7.\ngreen/armhf\n\nblue/all/trusty\n")
	for name, test := range map[string]struct {
		target          Target
		reason, version string
	}{
		"never_run":            {Target{"green", "armhf", "noble"}, "never_run of this test cloud has the entry green/armhf. Its comment says: Hangs the machine:[2J bug 7. Ask", "blacklisted"},
		"another one":          {Target{"green", "amd64", "noble"}, "", ""},
		"no testbeds":          {Target{"white", "i386", "trusty"}, "No tests can be run on trusty i386", "unknown"},
		"both":                 {Target{"blue", "i386", "trusty"}, "has the entry blue/all/trusty. Ask", "blacklisted"},
		"release of another":   {Target{"white", "i386", "bookworm"}, "", ""},
		"architecture to come": {Target{"white", "loong64", "zeta"}, "", ""},
	} {
		reason, version, refuse := f.lists.Refuse(test.target)
		if refuse != (test.version != "") || version != test.version || !strings.Contains(reason, test.reason) || strings.Contains(reason, "\x1b") {
			t.Errorf("%s: %v, version %q, %q", name, refuse, version, reason)
		}
	}
}

func TestPossible(t *testing.T) {
	t.Parallel()
	table := map[string]string{ // in the order of architectures: amd64 amd64v3 arm64 armhf i386 ppc64el riscv64 s390x
		"precise": "yyyyyyyy", "trusty": "y-------", "xenial": "y------y", "bionic": "y-y--y-y", "focal": "y-yyyy-y",
		"jammy": "y-yyyyyy", "noble": "y-yyyyyy", "questing": "y-yyyyyy", "resolute": "yyyyyyyy", "bookworm": "yyyyyyyy",
	}
	for release, row := range table {
		for i, arch := range architectures {
			if got := Possible(release, arch); got != (row[i] == 'y') {
				t.Errorf("%s %s: %v", release, arch, got)
			}
		}
	}
}
