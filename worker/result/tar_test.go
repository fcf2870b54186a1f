package result

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unpack reads a tar without this package's reader.
func unpack(t *testing.T, content []byte) (names []string, members map[string]string) {
	t.Helper()
	members = map[string]string{}
	for in := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, members
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		members[header.Name] = string(text)
	}
}

func write(t *testing.T, r Result) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteTar(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var whole = Result{
	ExitCode: 4, Source: "green", Version: "1:2.0-1", Duration: 123*time.Second + 900*time.Millisecond, Requester: "joe",
	Triggers: []string{"green/1:2.0-1", "blue/1"}, Env: []string{"A=b c"},
	Handle:          "20261125-152251-ab12cd34",
	Request:         []byte("green\n{}"),
	Summary:         []byte("smoke PASS\nall FAIL non-zero exit status 1\n"),
	TestbedPackages: []byte("base-files\t12\n"),
	TestInfo:        []byte(`{"virt_server": "unshare", "nproc": "2", "custom_environment": ["A=b c"]}`),
}

func TestWriteTar(t *testing.T) {
	t.Parallel()
	content := write(t, whole)
	names, members := unpack(t, content)
	wantNames := []string{
		"exitcode", "testpkg-version", "testinfo.json", "duration", "requester", "testbed-packages", "summary", "request",
		"handle",
	}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	want := map[string]string{
		"exitcode": "4\n", "testpkg-version": "green 1:2.0-1\n", "duration": "123\n", "requester": "joe\n",
		"testbed-packages": "base-files\t12\n", "summary": string(whole.Summary), "request": "green\n{}",
		"handle": "20261125-152251-ab12cd34\n",
		"testinfo.json": `{
  "custom_environment": [
    "A=b c",
    "ADT_TEST_TRIGGERS=green/1:2.0-1 blue/1"
  ],
  "nproc": "2",
  "virt_server": "unshare"
}
`,
	}
	if diff := cmp.Diff(want, members); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !bytes.Equal(content, write(t, whole)) {
		t.Error("the same result gives other bytes")
	}
}

func TestWriteTarLeavesOut(t *testing.T) {
	t.Parallel()
	names, members := unpack(t, write(t, Result{ExitCode: 16, Source: "green"}))
	if diff := cmp.Diff([]string{"exitcode", "testpkg-version", "testinfo.json", "duration"}, names); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if got := members["testinfo.json"]; got != "{}\n" {
		t.Errorf("testinfo.json: %q", got)
	}
}

func TestWriteTarNeedsASource(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"", "two words", "a\nb", "../x"} {
		if err := (Result{Source: source}).WriteTar(io.Discard); err == nil {
			t.Errorf("source %q is written", source)
		}
	}
}

func TestWriteTarWritesOnlyWhatIsRead(t *testing.T) {
	t.Parallel()
	for _, r := range []Result{{Source: "green", ExitCode: 256}, {Source: "green", Duration: -time.Second}} {
		if err := r.WriteTar(io.Discard); err == nil {
			t.Errorf("%+v is written", r)
		}
	}
}

func TestWriteTarReportsTheWriter(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	reader, writer := io.Pipe()
	_ = reader.CloseWithError(broken)
	if err := whole.WriteTar(writer); !errors.Is(err, broken) {
		t.Errorf("error %v, want the writer's", err)
	}
}

func TestTestInfo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		info     string
		triggers []string
		env      []string
		want     []string
	}{
		"none":           {"", []string{"a/1", "b/2"}, nil, []string{"ADT_TEST_TRIGGERS=a/1 b/2"}},
		"no environment": {`{"nproc": 2}`, []string{"a/1"}, nil, []string{"ADT_TEST_TRIGGERS=a/1"}},
		"there already":  {`{"custom_environment": ["ADT_TEST_TRIGGERS=a/1", "X=y"]}`, []string{"a/1"}, nil, []string{"X=y", "ADT_TEST_TRIGGERS=a/1"}},
		"another's":      {`{"custom_environment": ["ADT_TEST_TRIGGERS=b/2"]}`, []string{"a/1"}, nil, []string{"ADT_TEST_TRIGGERS=a/1"}},
		"cut off":        {`{"custom_environment": ["X=`, []string{"a/1"}, []string{"X=y"}, []string{"X=y", "ADT_TEST_TRIGGERS=a/1"}},
		"null":           {"null", []string{"a/1"}, nil, []string{"ADT_TEST_TRIGGERS=a/1"}},
		"a list":         {"[1]", []string{"a/1"}, nil, []string{"ADT_TEST_TRIGGERS=a/1"}},
		"bad list":       {`{"custom_environment": "X=y"}`, []string{"a/1"}, nil, []string{"ADT_TEST_TRIGGERS=a/1"}},
		"no triggers":    {`{"custom_environment": ["X=y"]}`, nil, []string{"X=y", "Z=z"}, []string{"X=y", "Z=z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Result{Source: "green", TestInfo: []byte(test.info), Triggers: test.triggers, Env: test.env}
			_, members := unpack(t, write(t, r))
			var info struct {
				Environment []string `json:"custom_environment"`
			}
			if err := json.Unmarshal([]byte(members["testinfo.json"]), &info); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, info.Environment); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTestedVersion(t *testing.T) {
	t.Parallel()
	own := []string{"blue/1", "green/2:9-1"}
	for name, test := range map[string]struct {
		result Result
		want   string
	}{
		"recorded":                     {Result{Version: "1.0", Triggers: own}, "1.0"},
		"missing":                      {Result{ExitCode: 4, Triggers: []string{"blue/1"}}, "unknown"},
		"missing, no trigger":          {Result{ExitCode: 16}, "unknown"},
		"testbed failure, own trigger": {Result{ExitCode: 16, Triggers: own}, "2:9-1"},
		"said to be unknown":           {Result{ExitCode: 16, Version: "unknown", Triggers: own}, "2:9-1"},
		"error, own trigger":           {Result{ExitCode: 20, Triggers: own}, "2:9-1"},
		"reference":                    {Result{ExitCode: 16, Triggers: []string{"migration-reference/0"}}, "unknown"},
		"never run":                    {Result{ExitCode: 99, Version: "blacklisted", Triggers: own}, "blacklisted"},
		"not supported":                {Result{ExitCode: 99, Version: "unknown", Triggers: own}, "unknown"},
		"not supported, missing":       {Result{ExitCode: 99, Triggers: own}, "unknown"},
		"trigger without version":      {Result{ExitCode: 16, Triggers: []string{"green", "green/"}}, "unknown"},
		"name that only begins so":     {Result{ExitCode: 16, Triggers: []string{"green-tea/1"}}, "unknown"},
	} {
		test.result.Source = "green"
		if got := test.result.TestedVersion(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestReadTar(t *testing.T) {
	t.Parallel()
	content := write(t, whole)
	got, err := ReadTar(iotest.OneByteReader(bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	want := whole
	want.Duration = 123 * time.Second
	_, members := unpack(t, content)
	want.TestInfo = []byte(members["testinfo.json"])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !bytes.Equal(write(t, got), content) {
		t.Error("written again it has other bytes")
	}
}

type member struct {
	name, content string
	kind          byte
}

func pack(t *testing.T, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		header := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content)), Typeflag: m.kind, ModTime: time.Now()}
		if m.kind == tar.TypeSymlink {
			header.Linkname, header.Size = "/etc/passwd", 0
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestReadTarOfOthers reads what other writers left: upstream's, and of 2015.
func TestReadTarOfOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		members []member
		want    Result
	}{
		"of 2015": {
			[]member{{"exitcode", "0\n", 0}, {"testpkg-version", "green 1\n", 0}, {"duration", "7\n", 0}, {"testbed-packages", "a\t1\n", 0}},
			Result{Source: "green", Version: "1", Duration: 7 * time.Second, TestbedPackages: []byte("a\t1\n")},
		},
		"names with ./":      {[]member{{"./exitcode", "8\n", 0}}, Result{ExitCode: 8}},
		"no newline":         {[]member{{"exitcode", "16", 0}}, Result{ExitCode: 16}},
		"killed by a signal": {[]member{{"exitcode", "-9\n", 0}}, Result{ExitCode: -9}},
		"unknown members": {
			[]member{{"later", "x", 0}, {"folder/", "", tar.TypeDir}, {"link", "", tar.TypeSymlink}, {"exitcode", "0\n", 0}},
			Result{},
		},
		"never run": {
			[]member{{"exitcode", "99\n", 0}, {"testpkg-version", "green blacklisted\n", 0}, {"duration", "0\n", 0}},
			Result{ExitCode: 99, Source: "green", Version: "blacklisted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadTar(bytes.NewReader(pack(t, test.members...)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadTarRefuses(t *testing.T) {
	t.Parallel()
	good := member{"exitcode", "0\n", 0}
	for name, test := range map[string]struct {
		content []byte
		reason  string
	}{
		"nothing":               {nil, "no exitcode"},
		"text":                  {[]byte(strings.Repeat("<html>", 200)), "not a tar archive"},
		"no exit code":          {pack(t, member{"duration", "1\n", 0}), "no exitcode"},
		"exit code in words":    {pack(t, member{"exitcode", "zero\n", 0}), "want a number"},
		"exit code too large":   {pack(t, member{"exitcode", "256\n", 0}), "want a number"},
		"twice":                 {pack(t, good, good), "twice"},
		"twice, in two ways":    {pack(t, good, member{"./exitcode", "4\n", 0}), "twice"},
		"a link":                {pack(t, member{"exitcode", "", tar.TypeSymlink}), "not a regular file"},
		"one word of version":   {pack(t, good, member{"testpkg-version", "green\n", 0}), "want SOURCE VERSION"},
		"three words":           {pack(t, good, member{"testpkg-version", "green 1 2\n", 0}), "want SOURCE VERSION"},
		"version of a path":     {pack(t, good, member{"testpkg-version", "../x 1\n", 0}), "want SOURCE VERSION"},
		"negative duration":     {pack(t, good, member{"duration", "-1\n", 0}), "want seconds"},
		"endless duration":      {pack(t, good, member{"duration", "99999999999\n", 0}), "want seconds"},
		"duration in words":     {pack(t, good, member{"duration", "1h\n", 0}), "want seconds"},
		"testinfo not JSON":     {pack(t, good, member{"testinfo.json", "{", 0}), "testinfo.json"},
		"testinfo a list":       {pack(t, good, member{"testinfo.json", "[]", 0}), "testinfo.json"},
		"environment a number":  {pack(t, good, member{"testinfo.json", `{"custom_environment": 1}`, 0}), "not a list of strings"},
		"exit code of a book":   {pack(t, member{"exitcode", strings.Repeat(" ", 5000), 0}), "at most"},
		"summary without end":   {pack(t, good, member{"summary", strings.Repeat("x", maxMember+1), 0}), "at most"},
		"larger than all":       {pack(t, good, member{"unknown", strings.Repeat("x", maxTar+1), 0}), "larger than"},
		"cut off in the middle": {pack(t, good, member{"summary", strings.Repeat("x", 10_000), 0})[:5000], "summary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadTar(bytes.NewReader(test.content))
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %v, want ErrDamaged that says %q", err, test.reason)
			}
		})
	}
}

// TestReadTarReportsTheReader: a store that fails is not a damaged result, which would be given up.
func TestReadTarReportsTheReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	content := write(t, whole)
	for _, length := range []int{0, 100, 600, len(content) - 1} {
		_, err := ReadTar(io.MultiReader(bytes.NewReader(content[:length]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
			t.Errorf("after %d bytes: error %v, want the reader's alone", length, err)
		}
	}
}

func FuzzReadTar(f *testing.F) {
	var out bytes.Buffer
	if err := whole.WriteTar(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := ReadTar(bytes.NewReader(content))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error %v does not wrap ErrDamaged", err)
			}
			return
		}
		if r.Source == "" {
			return // cannot be written
		}
		first := write(t, r)
		again, err := ReadTar(bytes.NewReader(first))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if second := write(t, again); !bytes.Equal(first, second) {
			t.Fatal("written twice it has other bytes")
		}
	})
}
