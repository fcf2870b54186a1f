package management

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestVHost(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := t.Context()
	for _, gone := range []bool{false, true} {
		fake.noVHost = gone
		if there, err := m.HasVHost(ctx); err != nil || there == gone {
			t.Errorf("gone %v: there %v, %v", gone, there, err)
		}
		if err := m.MakeVHost(ctx); err != nil || fake.noVHost {
			t.Errorf("gone %v: %v", gone, err)
		}
	}
	if made := strings.Count(strings.Join(fake.requests, "\n"), "PUT /api/vhosts/%2F"); made != 1 {
		t.Errorf("made %d times", made)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	_, m := newFakeBroker(t)
	ctx := t.Context()
	for _, p := range []Policy{
		{Name: "a", Pattern: "^a$", Operator: true, MaxBytes: 64 << 20},
		{Name: "a", Pattern: "^b$", Priority: 10, MaxBytes: 1 << 40, RefuseAtLimit: true},
		{Name: "b", Pattern: "^b$", Priority: 10, MaxBytes: 1 << 40, RefuseAtLimit: true, Mirrors: Mirrors{Nodes: 2}},
		{Name: "c", Pattern: "^b$", MaxBytes: 1 << 20, Mirrors: Mirrors{All: true}},
	} {
		if _, err := m.PolicyIs(ctx, p); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v before: %v", p, err)
		}
		if err := m.PutPolicy(ctx, p); err != nil {
			t.Fatal(err)
		}
		if right, err := m.PolicyIs(ctx, p); err != nil || !right {
			t.Errorf("%+v: %v, %v", p, right, err)
		}
		for name, change := range map[string]func(*Policy){
			"pattern":  func(p *Policy) { p.Pattern = "x" },
			"bytes":    func(p *Policy) { p.MaxBytes++ },
			"overflow": func(p *Policy) { p.RefuseAtLimit = !p.RefuseAtLimit },
			"priority": func(p *Policy) { p.Priority++ },
			"mirrors":  func(p *Policy) { p.Mirrors = Mirrors{Nodes: p.Mirrors.Nodes + 3} },
		} {
			other := p
			change(&other)
			if right, err := m.PolicyIs(ctx, other); err != nil || right {
				t.Errorf("another %s is taken for the same: %v", name, err)
			}
		}
	}
	for range 2 {
		if err := m.DeletePolicy(ctx, Policy{Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if there, err := m.HasPolicy(ctx, Policy{Name: "a", Operator: true}); err != nil || !there {
		t.Errorf("the operator's policy of the same name: %v, %v", there, err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := t.Context()
	if limits, err := m.Limits(ctx); err != nil || len(limits) != 0 {
		t.Errorf("none: %v, %v", limits, err)
	}
	if err := errors.Join(m.SetLimit(ctx, MaxQueues, 7), m.SetLimit(ctx, MaxConnections, -1)); err != nil {
		t.Fatal(err)
	}
	if limits, err := m.Limits(ctx); err != nil || len(limits) != 1 || limits[MaxQueues] != 7 {
		t.Errorf("got %v, %v", limits, err)
	}
	if err := m.ClearLimit(ctx, MaxQueues); err != nil || fake.limits["max-queues"] != nil {
		t.Errorf("cleared: %v, %v", fake.limits, err)
	}
	fake.noVHost = true
	if limits, err := m.Limits(ctx); err != nil || len(limits) != 0 {
		t.Errorf("without a virtual host: %v, %v", limits, err)
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tags []string
		want error
	}{
		"an administrator": {[]string{"administrator"}, nil},
		"among others":     {[]string{"policymaker", "administrator"}, nil},
		"monitoring":       {[]string{"monitoring"}, ErrNotAdministrator},
		"no tag":           {nil, ErrNotAdministrator},
	} {
		fake, m := newFakeBroker(t)
		fake.users["admin"]["tags"] = tc.tags
		if err := m.Prove(t.Context()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemoveUser(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := t.Context()
	fake.users["guest"] = map[string]any{"name": "guest", "tags": []string{"administrator"}}
	if err := m.RemoveUser(ctx, "admin"); !errors.Is(err, ErrOwnUser) || fake.users["admin"] == nil {
		t.Errorf("ourselves: %v", err)
	}
	fake.users["admin"]["tags"] = []string{"management"}
	if err := m.RemoveUser(ctx, "guest"); !errors.Is(err, ErrNotAdministrator) || fake.users["guest"] == nil {
		t.Errorf("the last administrator: %v", err)
	}
	fake.users["admin"]["tags"] = []string{"administrator"}
	for range 2 {
		if err := m.RemoveUser(ctx, "guest"); err != nil || fake.users["guest"] != nil {
			t.Errorf("guest: %v", err)
		}
	}
}

func TestOwnRights(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := t.Context()
	for range 2 {
		if err := m.EnsureOwnRights(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := m.HasOwnRights(ctx); err != nil || !has {
		t.Errorf("rights %v, %v", fake.permissions, err)
	}
}

// TestRefusalsAreTold: the answers were recorded from RabbitMQ 3.10.8 and 4.0.5.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		is     []error
		not    []error
		says   string
	}{
		"3.10, a wrong password": {401, `{"error":"not_authorized","reason":"Login failed"}`,
			[]error{ErrDenied}, []error{ErrNoManagement}, "is the password of user"},
		"4.0, a wrong password": {401, `{"error":"not_authorized","reason":"Not_Authorized"}`,
			[]error{ErrDenied}, []error{ErrNoManagement}, "is the password of user"},
		"no tag": {401, `{"error":"not_authorised","reason":"Not management user"}`,
			[]error{ErrDenied, ErrNoManagement}, nil, `needs the tag "administrator"`},
		"not an administrator": {401, `{"error":"not_authorised","reason":"Not administrator user"}`,
			[]error{ErrDenied}, []error{ErrNoManagement}, "Not administrator user"},
		"no virtual host, of an exchange": {404, `{"error":"not_found","reason":"vhost_not_found"}`,
			[]error{ErrNotFound, ErrNoVHost}, []error{ErrDenied}, "autopkgtest_broker makes it"},
		"no virtual host, of a permission": {400, `{"error":"bad_request","reason":"vhost_or_user_not_found"}`,
			[]error{ErrRefused, ErrNoVHost}, []error{ErrNotFound}, "autopkgtest_broker makes it"},
		"nothing there": {404, `{"error":"Object Not Found","reason":"Not Found"}`,
			[]error{ErrNotFound}, []error{ErrNoVHost}, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			t.Cleanup(server.Close)
			m, err := New(server.URL, "admin", "x")
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.Version(t.Context()) // Identity takes a 404 for a broker that starts
			for _, kind := range tc.is {
				if !errors.Is(err, kind) {
					t.Errorf("%v is not %v", err, kind)
				}
			}
			for _, kind := range tc.not {
				if errors.Is(err, kind) {
					t.Errorf("%v is %v", err, kind)
				}
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
		})
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"name":"admin","tags":["administrator"]}`))
	}))
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, trusted := range []bool{false, true} {
		m, err := New(server.URL, "admin", "x")
		if err != nil {
			t.Fatal(err)
		}
		if trusted {
			if err := m.Trust(authority); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Identity(t.Context()); (err == nil) != trusted {
			t.Errorf("trusted %v: %v", trusted, err)
		}
		if err := m.Trust([]byte("x")); err == nil {
			t.Error("took what is no certificate")
		}
	}
}
