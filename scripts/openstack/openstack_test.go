package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a cloud that is nowhere, with a seed that everybody knows.
func sample(folder string) *cloud {
	return &cloud{seed: []byte("seed"), at: place{
		folder: folder, address: "127.77.1.2", account: "autopkgtest-cloud", amqp: 5672, memcached: 20008, management: "127.0.0.1:20002",
		program: host.Binary{Name: "openstack", SHA256: "0123456789abcdef"}, installed: folder + "/bin/openstack-0123456789ab",
	}}
}

func mustServices(t *testing.T, c *cloud) []service {
	t.Helper()
	all, err := c.services()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFiles: every file of every service is as it was looked at last.
func TestFiles(t *testing.T) {
	t.Parallel()
	for folder, all := range map[string][]service{
		"testdata":        mustServices(t, sample("/srv/cloud")),
		"testdata/guests": withGuests(t),
	} {
		checkFiles(t, folder, all)
	}
}

// withGuests are the services that are others where there are guests.
func withGuests(t *testing.T) (all []service) {
	t.Helper()
	c := sample("/srv/cloud")
	c.guests = true
	for _, s := range mustServices(t, c) {
		if slices.Contains([]string{"nova-lcy01", "neutron-lcy01", "hypervisor-lcy01"}, s.name) {
			all = append(all, s)
		}
	}
	return all
}

func checkFiles(t *testing.T, folder string, all []service) {
	t.Helper()
	for _, s := range all {
		for _, file := range s.Files {
			if !file.Secret || file.Perm != 0 {
				t.Errorf("%s of %s could be read by others", file.Name, s.name)
			}
			if filepath.Dir(file.Name) == "keys" {
				continue
			}
			golden := filepath.Join(folder, s.name, filepath.Base(file.Name))
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, file.Content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(file.Content)); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s", file.Name, s.name, diff)
			}
		}
	}
}

// TestNoSecretInArguments: arguments and environments can be read in /proc.
func TestNoSecretInArguments(t *testing.T) {
	t.Parallel()
	c := sample("/srv/cloud")
	for _, s := range append(mustServices(t, c), withGuests(t)...) {
		var texts []string
		for _, p := range s.Processes {
			texts = append(texts, slices.Concat(p.Argv, p.Env)...)
		}
		for _, m := range s.migrations {
			texts = append(texts, slices.Concat(m.argv, m.env)...)
		}
		for _, name := range append(slices.Clone(serviceUsers), "admin", "prodstack", "nova-lcy01", "neutron-lgw01", "metadata") {
			if strings.Contains(strings.Join(texts, " "), c.Password(name).Reveal()) {
				t.Errorf("the password of %s is among the arguments of %s", name, s.name)
			}
		}
	}
}

// TestRegionsAreApart: what is there once for each region has another port, database and virtual host in the other.
func TestRegionsAreApart(t *testing.T) {
	t.Parallel()
	listens, databases, names := map[string]string{}, map[string]string{}, map[string]bool{}
	for _, s := range mustServices(t, sample("/srv/cloud")) {
		for _, p := range s.Processes {
			if names[p.Name] {
				t.Errorf("two processes are called %s", p.Name)
			}
			names[p.Name] = true
			for _, address := range p.Listen {
				if other := listens[address]; other != "" {
					t.Errorf("%s and %s listen on %s", p.Name, other, address)
				}
				listens[address] = p.Name
			}
		}
		for _, name := range databasesOf(s) {
			if other := databases[name]; other != "" {
				t.Errorf("%s and %s have the database %s", s.name, other, name)
			}
			databases[name] = s.name
			found := false
			for _, file := range s.Files {
				found = found || strings.Contains(string(file.Content), "/"+name+"?")
			}
			// Nova finds that of cell 0 in its other databases.
			if !found && !strings.HasPrefix(name, "nova_cell0") {
				t.Errorf("no file of %s names the database %s, which is made for it", s.name, name)
			}
		}
	}
	if len(databases) != 2+2*5 || len(listens) != 3+2*3 {
		t.Errorf("%d databases, %d addresses: this test does not see what it should", len(databases), len(listens))
	}
}

func TestCacheKey(t *testing.T) {
	t.Parallel()
	users := mustServices(t, sample("/srv/cloud"))
	key := cacheKey("nova 26", "account", "/srv/cloud", users)
	if other := cacheKey("nova 26", "account", "/srv/other", mustServices(t, sample("/srv/other"))); other != key {
		t.Errorf("another folder has another key: %s, %s", key, other)
	}
	for what, other := range map[string]string{
		"version":    cacheKey("nova 27", "account", "/srv/cloud", users),
		"account":    cacheKey("nova 26", "somebody", "/srv/cloud", users),
		"migrations": cacheKey("nova 26", "account", "/srv/cloud", users[:len(users)-8]),
	} {
		if other == key {
			t.Errorf("with another %s the key is the same", what)
		}
	}
}

func TestRC(t *testing.T) {
	t.Parallel()
	c := sample("/srv/cloud")
	want := `export OS_AUTH_URL=http://127.77.1.2:5000/v3
export OS_IDENTITY_API_VERSION=3
export OS_USERNAME=prodstack
export OS_PASSWORD=` + c.Password("prodstack").Reveal() + `
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_NAME=prodstack
export OS_PROJECT_DOMAIN_NAME=Default
export OS_REGION_NAME=lgw01
`
	if diff := cmp.Diff(want, c.rc(tenants[0], regions[1])); diff != "" {
		t.Errorf("RC file (-want +got):\n%s", diff)
	}
}

// TestSecretsDiffer: from one seed come different passwords, always the same ones, and from another seed others.
func TestSecretsDiffer(t *testing.T) {
	t.Parallel()
	one, other := sample("/srv/cloud"), &cloud{seed: []byte("another")}
	if one.Password("nova") != sample("/x").Password("nova") {
		t.Error("a password is not the same the next time")
	}
	if one.Password("nova") == one.Password("neutron") || one.Password("nova") == other.Password("nova") {
		t.Error("two passwords are the same")
	}
	if key := string(one.fernetKey("0")); len(key) != 44 || key == string(one.fernetKey("1")) {
		t.Errorf("keys: %d characters, or the same", len(key))
	}
}

// TestOrder: a service is started after what it needs, all are, and a failure ends everything.
func TestOrder(t *testing.T) {
	t.Parallel()
	var order []string
	var lock sync.Mutex
	of := func(name string, err error, needs ...string) service {
		return service{name: name, needs: needs, finish: func(context.Context) error {
			lock.Lock()
			defer lock.Unlock()
			order = append(order, name)
			return err
		}}
	}
	tell := func(string) {}
	if err := startAll(t.Context(), nil, []service{of("c", nil, "a", "b"), of("b", nil, "a"), of("a", nil)}, tell); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	order = nil
	err := startAll(t.Context(), nil, []service{of("b", nil, "a"), of("a", os.ErrInvalid)}, tell)
	if err == nil || !strings.Contains(err.Error(), "set up a: invalid argument") || len(order) != 1 {
		t.Errorf("after a failure: %v, and %v were started", err, order)
	}
	if err := startAll(t.Context(), nil, []service{of("a", nil, "nothing")}, tell); err == nil {
		t.Error("a need that is no service is not noticed")
	}
}
