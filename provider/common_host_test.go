package provider

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestHostValidators(t *testing.T) {
	t.Parallel()
	rule := func(v any) func(string) error {
		c, ok := v.(check)
		if !ok {
			t.Fatalf("%T", v)
		}
		return c.rule
	}
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL3H6/nHynh9wMoYAIYQ6CKdbpvZs+KszycUtUuLlfh2"
	for name, test := range map[string]struct {
		rule      func(string) error
		good, bad []string
	}{
		"address": {rule(machineAddress()), []string{"host", "host.example.org", "10.0.0.1", "::1", "fe80::1%eth0"},
			[]string{"", "root@host", "host:22", "ssh://host", "a b", "-oProxyCommand=x"}},
		"user":     {rule(userName()), []string{"root", "deploy", "_apt", "x-1"}, []string{"", "a b", "-l", "a@b"}},
		"host_key": {rule(hostKey()), []string{key, key + " root@host"}, []string{"", "AAAA", key + "\n" + key, "host " + key[:20]}},
		"file":     {rule(fileName()), []string{"/a", "ssh://host/a"}, []string{"a", "ssh://host", "http://host/a", "/a/../b"}},
	} {
		for _, text := range test.good {
			if err := test.rule(text); err != nil {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
		for _, text := range test.bad {
			if test.rule(text) == nil {
				t.Errorf("%s %q is accepted", name, text)
			}
		}
	}
}

func TestServiceOnAMachine(t *testing.T) {
	t.Parallel()
	m := &serviceModel{Directory: types.StringValue("/srv/stack"), Host: types.ObjectNull(hostTypes)}
	if id := m.serviceIdentity()[0].value.ValueString(); id != "/srv/stack" || m.elsewhere() {
		t.Errorf("here it is %q", id)
	}
	m.Host = hostOf(machine.Target{Address: "10.0.0.1", Port: 2222, User: "root"})
	if id := m.serviceIdentity()[0].value.ValueString(); id != "ssh://10.0.0.1/srv/stack" || m.elsewhere() {
		t.Errorf("there it is %q", id)
	}
	if !m.Host.Attributes()["user"].IsNull() {
		t.Error("the usual user is written")
	}
	other := *m
	other.Host = hostOf(machine.Target{Address: "10.0.0.1"})
	if !other.rerouted(m) || m.rerouted(nil) || m.rerouted(m) {
		t.Error("another port is another way")
	}
	m.Host = types.ObjectUnknown(hostTypes)
	if !m.elsewhere() {
		t.Error("a machine that is not known is known")
	}
}

// other is a provider on 10.0.0.1 whose Terraform has the given files.
func other(files map[string]forward.File) *settings {
	return &settings{files: farFiles{forward.Here{
		Target: machine.Target{Address: "10.0.0.1", Port: 22, User: "root"},
		Fetch: func(_ context.Context, name string) (forward.File, error) {
			if file, ok := files[name]; ok {
				return file, nil
			}
			return forward.File{}, fs.ErrNotExist
		},
	}}}
}

// TestFilesOfOthers: at the other end a path is one of Terraform's machine, though there may be such a file here.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	account := config.Broker{Username: "theirs", Password: "hunter2", Host: "h"}
	path := filepath.Join(t.TempDir(), "account")
	if err := os.WriteFile(path, config.Broker{Username: "ours", Password: "hunter2", Host: "h"}.File(config.KeyURI), 0o600); err != nil {
		t.Fatal(err)
	}
	s := other(map[string]forward.File{path: {Content: account.File(config.KeyURI), Mode: 0o600}})
	for name, want := range map[string]string{path: "theirs", "ssh://root@10.0.0.1:22" + path: "ours", "ssh://deploy@10.0.0.1:23" + path: "ours"} {
		if got, err := s.readBroker(t.Context(), name); err != nil || got.Username != want {
			t.Errorf("%s holds the account %q, want %q: %v", name, got.Username, want, err)
		}
	}
	if _, err := s.readBroker(t.Context(), "ssh://root@10.0.0.2:22"+path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of a third machine: %v", err)
	}
	exposed := other(map[string]forward.File{path: {Content: account.File(config.KeyURI), Mode: 0o644}})
	if _, err := exposed.readBroker(t.Context(), path); !errors.Is(err, config.ErrExposed) {
		t.Errorf("%v, want ErrExposed", err)
	}
	if _, err := exposed.fetchSecret(t.Context(), path); !errors.Is(err, config.ErrExposed) {
		t.Errorf("%v, want ErrExposed", err)
	}
}

// TestRenewedCredentials: what a plan is going to write anew is known to whoever asks back for it, and whose copy will be of old says so.
func TestRenewedCredentials(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "account")
	p := &autopkgtestProvider{files: terraformsFiles{}, settings: &settings{renewed: map[string]bool{}}}
	copied := given{attribute: "broker_credentials_file", name: types.StringValue(path), copyName: "etc/broker", broker: true}
	for _, mode := range []fs.FileMode{0o600, 0o644} { // that others can read it may be why
		if err := errors.Join(os.WriteFile(path, []byte("x"), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		p.settings.renewed = map[string]bool{}
		before, err := p.fetch(t.Context(), path)
		p.settings.renew(path)
		after, failed := p.fetch(t.Context(), path)
		if err != nil || failed != nil || before.Renewed || !after.Renewed {
			t.Errorf("mode %v: %v, then %v: %v, %v", mode, before.Renewed, after.Renewed, err, failed)
		}
		s := other(map[string]forward.File{path: after})
		if found := s.copyFinding(t.Context(), nil, workerService, copied); !strings.Contains(found.Problem, "are about to change") {
			t.Errorf("mode %v: %+v", mode, found)
		}
	}
	if found := (&settings{files: terraformsFiles{}}).copyFinding(t.Context(), nil, workerService, copied); found != (finding{}) {
		t.Errorf("a service of Terraform's machine reads the file itself, and there is %+v", found)
	}
}

// TestInPlace: a service reads the files of its machine as they are, but for an operator's own.
func TestInPlace(t *testing.T) {
	t.Parallel()
	s := &settings{files: terraformsFiles{}}
	for name, test := range map[string]struct {
		file     string
		personal bool
		want     bool
	}{
		"of this machine":                {"/srv/key", false, true},
		"of this machine, an operator's": {"/srv/key", true, false},
		"of another machine":             {"ssh://root@10.0.0.2:22/srv/key", false, false},
	} {
		path, ok := s.inPlace(given{name: types.StringValue(test.file), personal: test.personal})
		if ok != test.want || ok && path != test.file {
			t.Errorf("%s: %q, %v", name, path, ok)
		}
	}
}

// TestRenewals: which plans of a user may end in other credentials. Each one updates the services that have a copy of them.
func TestRenewals(t *testing.T) {
	t.Parallel()
	state := brokerUserModel{
		baseModel: baseModel{Status: types.StringValue(inPlace)}, Name: types.StringValue("user"), Role: types.StringValue("worker"),
		Rotation: types.StringValue("2026-11"), Broker: types.ObjectNull(brokerTypes), TLSEndpoint: types.ObjectNull(nil),
	}
	for name, test := range map[string]struct {
		change func(plan, state *brokerUserModel)
		want   bool
	}{
		"nothing":             {func(_, _ *brokerUserModel) {}, false},
		"a longer grace":      {func(m, _ *brokerUserModel) { m.Grace = types.StringValue("2h") }, false},
		"a limit":             {func(m, _ *brokerUserModel) { m.MaxChannels = types.Int64Value(7) }, false},
		"a rotation":          {func(m, _ *brokerUserModel) { m.Rotation = types.StringValue("2026-12") }, true},
		"another key":         {func(m, _ *brokerUserModel) { m.Role = types.StringValue("requester") }, true},
		"another broker":      {func(m, _ *brokerUserModel) { m.Broker = types.ObjectUnknown(brokerTypes) }, true},
		"TLS":                 {func(m, _ *brokerUserModel) { m.TLSEndpoint = types.ObjectUnknown(nil) }, true},
		"another user's file": {func(m, _ *brokerUserModel) { m.Name = types.StringValue("other") }, true},
		"a repair":            {func(_, s *brokerUserModel) { s.Status = types.StringValue("the user is missing in the broker") }, true},
	} {
		plan, state := state, state
		test.change(&plan, &state)
		if got := plan.renews(&state); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if !state.renews(nil) {
		t.Error("a creation leaves a file as it is")
	}
}

// TestGivenCertificates: the files of tls are Terraform's as well.
func TestGivenCertificates(t *testing.T) {
	t.Parallel()
	s := other(map[string]forward.File{"/key.pem": {Content: []byte("x"), Mode: 0o644}, "/cert.pem": {Content: []byte("x"), Mode: 0o644}})
	m := &rabbitMQServerModel{}
	kinds := tlsTypes()
	all := values{}
	for name, kind := range kinds {
		all[name] = types.StringNull()
		switch {
		case strings.HasSuffix(name, "port"):
			all[name] = types.Int64Null()
		case kind.Equal(types.SetType{ElemType: types.StringType}):
			all[name] = types.SetNull(types.StringType)
		}
	}
	all["certificate_file"], all["key_file"], all["ca_file"] = types.StringValue("/cert.pem"), types.StringValue("/key.pem"), types.StringValue("/ca.pem")
	m.TLS = object(kinds, all)
	var field *rabbitmq.FieldError
	_, err := s.brokerSettings(t.Context(), m).TLS.Check(time.Now())
	if !errors.As(err, &field) || field.Field != rabbitmq.FieldKey || !strings.Contains(err.Error(), "every account") {
		t.Errorf("%v, want one about the key that others can read", err)
	}
}
