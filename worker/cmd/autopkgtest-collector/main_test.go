package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
)

var quiet = slog.New(slog.DiscardHandler)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want int
	}{
		"help":            {[]string{"--help"}, exitOK},
		"unknown flag":    {[]string{"--colour"}, exitUsage},
		"no such file":    {[]string{"--config", filepath.Join(t.TempDir(), "none")}, exitUsage},
		"form of the log": {[]string{"--log-format", "xml"}, exitUsage},
		"busy listing":    {[]string{"--list-every", "1ms"}, exitUsage},
	} {
		if got := start(test.args); got != test.want {
			t.Errorf("%s: exit code %d, want %d", name, got, test.want)
		}
	}
}

// valid is a configuration that would work if anything were there.
func valid(t *testing.T) (config.Collector, string) {
	t.Helper()
	folder := t.TempDir()
	conf := config.Collector{
		BrokerCredentials: filepath.Join(folder, "credentials"), StoreURL: "http://127.0.0.1:1/v1/AUTH_test",
		Releases: []string{"noble"}, Architectures: []string{"amd64"}, Listen: "127.0.0.1:0",
		Database: filepath.Join(folder, "autopkgtest.db"), ExternalURL: "http://127.0.0.1:1",
	}
	return conf, filepath.Join(folder, "collector.conf")
}

func TestWhatCannotBegin(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for name, test := range map[string]struct {
		spoil func(t *testing.T, conf *config.Collector)
		texts []string
		usage bool
	}{
		"port taken": {func(_ *testing.T, conf *config.Collector) { conf.Listen = taken.Addr().String() },
			[]string{"[web] listen", taken.Addr().String(), "another process"}, false},
		"a second collector": {func(t *testing.T, conf *config.Collector) {
			x, err := index.Open(t.Context(), conf.Database, quiet)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = x.Close() })
		}, []string{"second collector", "[web] database"}, false},
		"no folder for the index": {func(_ *testing.T, conf *config.Collector) { conf.Database += "/x/y.db" },
			[]string{"y.db", "no such file"}, false},
		"a release with a dash": {func(_ *testing.T, conf *config.Collector) { conf.Releases = []string{"no-ble"} },
			[]string{"no-ble", "dash"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf, path := valid(t)
			test.spoil(t, &conf)
			if err := os.WriteFile(path, conf.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			err := collect(t.Context(), path, time.Hour, quiet)
			if err == nil || errors.Is(err, errUsage) != test.usage {
				t.Fatalf("err = %v", err)
			}
			for _, text := range test.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error lacks %q: %v", text, err)
				}
			}
		})
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	folder, err := directory.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "autopkgtest.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	handler := hintHandler{index.NewLister(x, folder, []string{"noble"}, quiet), quiet}
	for name, test := range map[string]struct {
		container, release string
		stored             string // what lies at the place: "result", "rubbish" or nothing
		indexed            bool
		err                error
	}{
		"ours":              {"autopkgtest-noble", "noble", "result", true, nil},
		"with a PPA":        {"autopkgtest-noble-joe-foo", "noble", "result", true, nil},
		"damaged":           {"autopkgtest-noble", "noble", "rubbish", false, result.ErrDamaged},
		"not there":         {"autopkgtest-noble", "noble", "", false, store.ErrNotFound},
		"private":           {"private-autopkgtest-noble", "noble", "result", false, nil},
		"another release's": {"autopkgtest-jammy", "jammy", "result", false, nil},
		"in disagreement":   {"autopkgtest-noble", "jammy", "result", false, nil},
	} {
		loc := result.Location{Container: test.container, Release: test.release, Architecture: "amd64",
			Package: strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), "'", ""), RunID: "20261122_012127_abcde@"}
		if err := folder.CreateContainer(t.Context(), loc.Container, true); err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		switch test.stored {
		case "result":
			if err := (result.Result{Source: loc.Package, Version: "1"}).WriteTar(&content); err != nil {
				t.Fatal(err)
			}
		case "rubbish":
			content.WriteString("rubbish")
		}
		if content.Len() > 0 {
			body := bytes.NewReader(content.Bytes())
			object := loc.Object(result.TarObject)
			if err := folder.Put(t.Context(), loc.Container, object, body, body.Size(), store.Properties{}); err != nil {
				t.Fatal(err)
			}
		}
		message, err := queue.Completion{Location: loc, Version: "6.6-6", ExitCode: 4}.Body()
		if err != nil {
			t.Fatal(err)
		}
		if err := handler.handle(t.Context(), message); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", name, err, test.err)
		}
		run, err := x.Run(t.Context(), loc)
		if indexed := err == nil; indexed != test.indexed || indexed && (run.Version != "1" || run.ExitCode != 0) {
			t.Errorf("%s: %+v, %v", name, run, err)
		}
	}
	if err := handler.handle(t.Context(), []byte("{rubbish")); err == nil {
		t.Error("rubbish was taken for a message")
	}
}
