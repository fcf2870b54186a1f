package swift

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func examplePlace() place {
	return place{
		Folder: "/srv/stack/services/swift", RunsAs: "tester",
		Ports:    ports{Proxy: 20484, Account: 20485, Container: 20486, Object: 20487, Memcached: 20488},
		Password: "GENERATEDPASSWORD", Incarnation: "firstincarnation", Reserve: DefaultReserve, Listen: loopback,
	}
}

func exampleDefinition(t *testing.T, p place) host.Service {
	t.Helper()
	s, err := definition(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConfigurationIsGolden(t *testing.T) {
	t.Parallel()
	for _, file := range exampleDefinition(t, examplePlace()).Files {
		if strings.HasSuffix(file.Name, ".conf") {
			hosttest.Golden(t, filepath.Join("testdata", filepath.Base(file.Name)), file.Content)
		}
	}
}

func TestProcessesAreGolden(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, p := range exampleDefinition(t, examplePlace()).Processes {
		fmt.Fprintf(&text, "%s\n  %s\n  environment: %s\n  reads: %s\n  listens: %s\n",
			p.Name, strings.Join(p.Argv, " "), strings.Join(p.Env, " "), strings.Join(p.Reads, " "), strings.Join(p.Listen, " "))
	}
	hosttest.Golden(t, filepath.Join("testdata", "processes"), []byte(text.String()))
}

// TestOnlyTheProxyListensElsewhere: whoever reaches the servers behind it needs no password.
func TestOnlyTheProxyListensElsewhere(t *testing.T) {
	t.Parallel()
	p := examplePlace()
	p.Listen = "2001:db8::1"
	definition := exampleDefinition(t, p)
	for _, file := range definition.Files {
		if strings.HasSuffix(file.Name, "-server.conf") {
			want := "bind_ip = " + loopback
			if strings.HasSuffix(file.Name, "proxy-server.conf") {
				want = "bind_ip = 2001:db8::1"
			}
			if !strings.Contains(string(file.Content), "\n"+want+"\n") {
				t.Errorf("%s lacks %q", file.Name, want)
			}
		}
	}
	for _, process := range definition.Processes {
		for _, end := range process.Listen {
			if elsewhere := end == "[2001:db8::1]:20484"; elsewhere != (process.Name == "swift-proxy") {
				t.Errorf("%s listens at %s", process.Name, end)
			}
		}
	}
	if got, want := p.credentials().StorageURL, "http://[2001:db8::1]:20484/v1/AUTH_autopkgtest"; got != want {
		t.Errorf("clients are told %s, want %s", got, want)
	}
}

func TestReadersAreUsers(t *testing.T) {
	t.Parallel()
	p := examplePlace()
	p.Readers = map[string]config.Secret{"joe_x": "JOES", "a@example.com": "ANOTHERS"}
	var proxy string
	for _, file := range exampleDefinition(t, p).Files {
		if strings.HasSuffix(file.Name, "/proxy-server.conf") {
			proxy = string(file.Content)
		}
	}
	const want = "GENERATEDPASSWORD .admin\nuser64_YXV0b3BrZ3Rlc3Q_YUBleGFtcGxlLmNvbQ = ANOTHERS\nuser64_YXV0b3BrZ3Rlc3Q_am9lX3g = JOES\n\n"
	if !strings.Contains(proxy, want) {
		t.Errorf("no %q in\n%s", want, proxy)
	}
	for _, wrong := range []map[string]config.Secret{{"joe": "a\nb"}, {"joe": ""}, {"": "a"}} {
		p.Readers = wrong
		if _, err := definition(p); !errors.Is(err, host.ErrInvalid) {
			t.Errorf("readers %q: error %v, want ErrInvalid", wrong, err)
		}
	}
}

func TestOnlySecretFilesHoldThePassword(t *testing.T) {
	t.Parallel()
	p := examplePlace()
	s := exampleDefinition(t, p)
	held := 0
	for _, file := range s.Files {
		if strings.Contains(string(file.Content), p.Password.Reveal()) {
			held++
			if !file.Secret {
				t.Errorf("%s holds the password and is not marked as secret", file.Name)
			}
		}
	}
	if held == 0 {
		t.Error("no file holds the password: how would the proxy know it?")
	}
	for _, process := range s.Processes {
		if text := fmt.Sprint(process); strings.Contains(text, p.Password.Reveal()) {
			t.Errorf("process %s shows the password to everybody on the machine: %s", process.Name, text)
		}
	}
}

// A new password must not stop uploads that are under way in the other servers, and a new incarnation, which means that
// the data are gone, must reach all of them.
func TestWhatAChangeRestarts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*place)
		want   []string
	}{
		"password": {func(p *place) { p.Password = "OTHER" }, []string{"swift-proxy"}},
		"incarnation": {func(p *place) { p.Incarnation = "other" }, []string{"swift-account", "swift-container",
			"swift-object", "swift-proxy", "swift-container-updater", "swift-object-updater"}},
		"reserve": {func(p *place) { p.Reserve = 1 }, []string{"swift-account", "swift-container", "swift-object",
			"swift-container-updater", "swift-object-updater"}},
		"nothing": {func(*place) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := examplePlace()
			before := exampleDefinition(t, p)
			test.change(&p)
			changed := map[string]bool{}
			for i, file := range exampleDefinition(t, p).Files {
				changed[file.Name] = string(file.Content) != string(before.Files[i].Content)
			}
			var got []string
			for _, process := range before.Processes {
				for _, read := range process.Reads {
					if changed[read] {
						got = append(got, process.Name)
						break
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("restarted (-want +got):\n%s", diff)
			}
		})
	}
}
