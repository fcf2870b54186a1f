package run

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// unpack reads a compressed tar: name → type and content.
func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		members[header.Name] = string(header.Typeflag) + " " + string(content) + header.Linkname
	}
}

func gunzip(t *testing.T, packed []byte) string {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// once is a script that runs one function in the output folder and ends.
func once(code int, write func(folder string)) func(context.Context, testbed.Job) (testbed.Outcome, error) {
	return func(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
		write(job.OutputDir)
		return testbed.Outcome{ExitCode: code, Duration: 83*time.Second + 400*time.Millisecond}, nil
	}
}

// lived runs one request to its end and returns where its result is.
func (b *bench) lived(t *testing.T, text string) result.Location {
	t.Helper()
	d, _ := deliver(text)
	b.newLife(d, b.state).live(t.Context())
	completions := b.session.completions(t)
	if len(completions) != 1 {
		t.Fatalf("%d completions, want one; the log:\n%s", len(completions), b.logged)
	}
	return completions[0].Location
}

func TestObjects(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code      int
		write     func(folder string)
		artifacts map[string]string // nil: no such object
		version   string
		summary   string
	}{
		"an ordinary run": {
			code: 4,
			write: func(folder string) {
				output(folder, map[string]string{
					"log": "line\n", "summary": "smoke FAIL\n", "testpkg-version": "green 1:2-3\n", "testinfo.json": "{}",
					"artifacts/data.txt": "data",
				})
			},
			artifacts: map[string]string{
				"summary": "0 smoke FAIL\n", "testpkg-version": "0 green 1:2-3\n", "testinfo.json": "0 {}",
				"artifacts/": "5 ", "artifacts/data.txt": "0 data", "exitcode": "0 4\n", "duration": "0 83\n", "requester": "0 joe\n",
			},
			version: "1:2-3", summary: "smoke FAIL\n",
		},
		"nothing but a log": {
			code: 4, write: func(folder string) { output(folder, map[string]string{"log": "line\n"}) },
			version: "9:9-9", // the trigger's
		},
		"hostile files": {
			code: 0,
			write: func(folder string) {
				output(folder, map[string]string{
					"log": "line\n", "testpkg-version": "../../x y z\n", "artifacts/ok": "ok", "exitcode": "not ours",
				})
				for link, target := range map[string]string{"summary": "/etc/passwd", "artifacts/out": "../../../../etc/passwd"} {
					if err := os.Symlink(target, filepath.Join(folder, link)); err != nil {
						panic(err)
					}
				}
				if err := syscall.Mkfifo(filepath.Join(folder, "testbed-packages"), 0o644); err != nil {
					panic(err)
				}
				if err := os.MkdirAll(filepath.Join(folder, "duration", "is", "a", "folder"), 0o755); err != nil {
					panic(err)
				}
			},
			artifacts: map[string]string{
				"testpkg-version": "0 ../../x y z\n", "artifacts/": "5 ", "artifacts/ok": "0 ok", "artifacts/out": "2 ../../../../etc/passwd",
				"summary": "2 /etc/passwd", "exitcode": "0 0\n", "duration": "0 83\n", "requester": "0 joe\n",
			},
			version: "9:9-9",
		},
		"a summary beyond all measure": {
			code: 0,
			write: func(folder string) {
				output(folder, map[string]string{"log": "line\n"})
				if err := os.WriteFile(filepath.Join(folder, "summary"), nil, 0o644); err != nil {
					panic(err)
				}
				if err := os.Truncate(filepath.Join(folder, "summary"), maxFile+1); err != nil {
					panic(err)
				}
			},
			artifacts: map[string]string{
				"summary": "0 " + strings.Repeat("\x00", maxFile+1), "exitcode": "0 0\n", "duration": "0 83\n", "requester": "0 joe\n",
			},
			version: "9:9-9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, once(test.code, test.write))
				text := "green\n" + `{"triggers": ["green/9:9-9", "blue/1"], "requester": "joe", "env": ["A=b c"], "x-own": [1]}`
				at := b.lived(t, text)
				packed, found := b.object(t, at, result.ArtifactsObject)
				if found != (test.artifacts != nil) {
					t.Fatalf("artifacts are there: %t", found)
				}
				if found {
					if diff := cmp.Diff(test.artifacts, unpack(t, packed)); diff != "" {
						t.Errorf("artifacts (-want +got):\n%.2000s", diff)
					}
				}
				log, _ := b.object(t, at, result.LogObject)
				if got := gunzip(t, log); got != "line\n" {
					t.Errorf("log %q", got)
				}
				raw, _ := b.object(t, at, result.TarObject)
				got, err := result.ReadTar(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				if handleOf(got) == "" {
					t.Errorf("the result names the life %q", got.Handle)
				}
				got.TestInfo, got.TestbedPackages, got.Handle = nil, nil, ""
				want := result.Result{
					ExitCode: test.code, Source: "green", Version: test.version, Duration: 83 * time.Second, Requester: "joe",
					Triggers: []string{"green/9:9-9", "blue/1"}, Env: []string{"A=b c"}, Request: []byte(text),
				}
				if test.summary != "" {
					want.Summary = []byte(test.summary)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("result.tar (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestLogProperties(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		at := b.lived(t, body("green"))
		body, properties, err := b.store.Store.Get(t.Context(), at.Container, at.Object(result.LogObject))
		if err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		properties.Size = 0
		if diff := cmp.Diff(logProperties, properties); diff != "" {
			t.Errorf("properties of the log (-want +got):\n%s", diff)
		}
	})
}

// The logs of attempts whose testbed failed are kept.
func TestEarlierLogsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.testbeds.script = func(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
			output(job.OutputDir, map[string]string{"log": "log of " + filepath.Base(job.OutputDir) + "\n"})
			return testbed.Outcome{ExitCode: 16}, nil
		}
		at := b.lived(t, body("green"))
		packed, _ := b.object(t, at, result.ArtifactsObject)
		want := map[string]string{
			"attempt-1.log": "0 log of attempt-1\n", "attempt-2.log": "0 log of attempt-2\n",
			"exitcode": "0 16\n", "duration": "0 0\n",
		}
		if diff := cmp.Diff(want, unpack(t, packed)); diff != "" {
			t.Errorf("artifacts (-want +got):\n%s", diff)
		}
		log, _ := b.object(t, at, result.LogObject)
		if got := gunzip(t, log); !strings.HasPrefix(got, "log of attempt-3\n") || !strings.Contains(got, "artifacts.tar.gz") {
			t.Errorf("log %q, want the third attempt's, and where the others are", got)
		}
	})
}

// Of what is too long, head and tail are stored; a file of a test's own that is only called like a log is stored whole.
func TestLongLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		long := "HEAD\n" + strings.Repeat("line\n", 1000) + "TAIL\n"
		b := newBench(t, once(4, func(folder string) {
			output(folder, map[string]string{"log": long, "smoke-stdout": long, "artifacts/my-stdout": long})
		}), func(s *Settings) { s.Limits.Log = 1000 })
		at := b.lived(t, body("green"))
		log, _ := b.object(t, at, result.LogObject)
		packed, _ := b.object(t, at, result.ArtifactsObject)
		artifacts := unpack(t, packed)
		for name, text := range map[string]string{"log": gunzip(t, log), "smoke-stdout": artifacts["smoke-stdout"]} {
			if len(text) > 1200 || !strings.Contains(text, "HEAD\n") || !strings.HasSuffix(text, "TAIL\n") ||
				!strings.Contains(text, "4015 bytes were left out here: the log grew beyond its limit of 1000 bytes") {
				t.Errorf("%s:\n%s", name, text)
			}
		}
		if got := artifacts["artifacts/my-stdout"]; got != "0 "+long {
			t.Errorf("a file of the test's own has %d bytes", len(got))
		}
	})
}
