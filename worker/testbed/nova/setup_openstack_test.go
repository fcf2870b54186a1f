//go:build openstack

package nova

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestMain makes the test's program the set-up script, too, as the worker's program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Verb {
		os.Exit(Main(os.Args[2:], reachLocalSSHD))
	}
	if folder := os.Getenv(dyingVariable); folder != "" {
		openAll(folder)
	}
	os.Exit(m.Run())
}

// words are those of a configuration for a project.
func words(sshd localSSHD, flavor string, sources ...string) []string {
	out := []string{"--key-file", sshd.key, "--login", sshd.login, "--flavor", flavor, "--image", "testbed", "--security-groups", "default"}
	for _, source := range sources {
		out = append(out, "--rc-file", source)
	}
	return out
}

// of is a testbed that nobody else has.
func of(worker, run string, given []string) testbed.Testbed {
	return testbed.Testbed{Release: "noble", Architecture: "amd64", Package: "green", Worker: worker, Run: run, Given: given,
		Name: testbed.NamePrefix + strings.ToLower(text(12))}
}

// TestOpenToCleanup is a testbed's whole life.
func TestOpenToCleanup(t *testing.T) {
	p := newProject(t, 3)
	sshd := startLocalSSHD(t)
	made := of("worker-one", "20261126-113607-1a2b3c4d", append(words(sshd, "m1.tiny", p.rc), "-e", "http_proxy=http://squid.example.com:3128"))
	furniture, err := (backend{newRegions()}).Furnish(made)
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t, furniture, t.TempDir(), new(openstack.Sessions))
	s.Reach = sshd.reach
	var answers bytes.Buffer
	s.Answers = &answers
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := p.region.ServersTagged(t.Context(), ownTag, "worker:worker-one", "run:20261126-113607-1a2b3c4d")
	if err != nil || len(found) != 1 || found[0].Name != "adt-noble-amd64-green-20261126-113607-1a2b3c4d" {
		t.Fatalf("%v, %v", found, err)
	}
	want := fmt.Sprintf("login=%s\nhostname=127.0.0.1\nport=%d\nidentity=%s\ncapabilities=isolation-machine,reboot,revert,revert-full-system\n"+
		"extraopts=--server %s --region lcy01\n", sshd.login, sshd.port, sshd.key, found[0].ID)
	if answers.String() != want {
		t.Errorf("answers:\n%s\nwant:\n%s", answers.String(), want)
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
	p.await(t, 0)
}

// TestChosenBefore: what the worker has found before a run is not looked for again, unless it is gone.
func TestChosenBefore(t *testing.T) {
	p, between := newProjectBetween(t, 1)
	sshd := startLocalSSHD(t)
	lists := map[string]string{"image": "/images", "compute": "/flavors/detail", "network": "/networks"}
	for _, test := range []struct {
		gone  bool
		looks int
	}{{false, 0}, {true, 1}} {
		b := backend{newRegions()}
		given := words(sshd, "m1.tiny", p.rc)
		tending := tender{regions: b.regions, with: testbed.Tending{
			Given: func() [][]string { return [][]string{given, words(sshd, "m1.small", p.rc)} }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}}
		between.Forget()
		if tending.sources(); !tending.read(t.Context(), p.rc) {
			t.Fatal("the region was not read")
		}
		for service, path := range lists {
			if listed := between.Count(http.MethodGet, service, path); listed != 1 {
				t.Errorf("for two flavors, %s was listed %d times", path, listed)
			}
		}
		f, err := b.Furnish(of("w", "", given))
		if err != nil {
			t.Fatal(err)
		}
		s := setup(t, f, t.TempDir(), new(openstack.Sessions))
		s.Reach = sshd.reach
		if !s.Plan.Chosen.complete() {
			t.Fatalf("nothing is chosen: %+v", s.Plan.Chosen)
		}
		if test.gone {
			s.Plan.Chosen.Image = "9c4a28ac-6f8e-4a1c-9d6f-000000000000"
		}
		between.Forget()
		if err := errors.Join(s.Open(t.Context()), s.Cleanup(t.Context())); err != nil {
			t.Error(err)
		}
		for service, path := range lists {
			if looks := between.Count(http.MethodGet, service, path); looks != test.looks {
				t.Errorf("gone %v: looked %d times for the %s", test.gone, looks, path)
			}
		}
	}
}

// setup is the set-up script of a run's furniture, in this process.
func setup(t testing.TB, f testbed.Furniture, folder string, sessions *openstack.Sessions) Setup {
	t.Helper()
	s := Setup{Answers: t.Output(), Says: t.Output()}
	if err := readPlan([]byte(f.Files[planPath]), &s.Plan); err != nil {
		t.Fatal(err)
	}
	s.Plan.Account = folder
	var err error
	if s.Region, err = OpenRegion(sessions, s.Plan.Source); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRevert: the server is the same, and nothing of it is.
func TestRevert(t *testing.T) {
	p := newProject(t, 1) // no room for a second one
	sshd := startLocalSSHD(t)
	furniture, err := (backend{newRegions()}).Furnish(of("w", "", words(sshd, "m1.tiny", p.rc)))
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t, furniture, t.TempDir(), new(openstack.Sessions))
	s.Reach = sshd.reach
	if err := errors.Join(s.Open(t.Context()), s.Revert(t.Context()), s.DebugFailure(t.Context())); err != nil {
		t.Fatal(err)
	}
	if all := p.servers(t); len(all) != 1 || all[0].Status != "ACTIVE" || !slices.Contains(*all[0].Tags, nameTag(s.Plan.Testbed)) {
		t.Errorf("%+v", all)
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOtherRegion: what a region cannot do is a failure of the testbed, noted for the worker, after which the run goes elsewhere.
func TestOtherRegion(t *testing.T) {
	p := newProject(t, 2)
	other := openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01)
	sshd := startLocalSSHD(t)
	for name, test := range map[string]struct {
		flavor string
		prior  int // instances that use up the quota
		want   error
		fit    bool // a flavor that fits
	}{
		"no valid host": {"m1.huge", 0, openstack.ErrNoHost, true},
		"quota":         {"m1.tiny", 2, openstack.ErrQuota, true},
		"no flavor":     {"m9.none", 0, openstack.ErrNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := backend{newRegions()}
			for range test.prior {
				f, err := b.Furnish(of("w", "", words(sshd, "m1.tiny", p.rc)))
				if err != nil {
					t.Fatal(err)
				}
				s := setup(t, f, t.TempDir(), new(openstack.Sessions))
				s.Reach = sshd.reach
				if err := s.Open(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := s.Cleanup(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}()
			}
			made := of("w", "run", words(sshd, test.flavor, p.rc, other))
			f, err := b.Furnish(made)
			if err != nil {
				t.Fatal(err)
			}
			s := setup(t, f, t.TempDir(), new(openstack.Sessions))
			if s.Plan.Source != p.rc {
				t.Fatalf("the first region is %s", s.Plan.Source)
			}
			err = s.Open(t.Context())
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if said := public(err); strings.Contains(said, p.rc) || strings.Contains(said, "worker tells why") {
				t.Errorf("in the public log: %s", said)
			}
			if err := errors.Join(s.DebugFailure(t.Context()), s.Cleanup(t.Context())); err != nil {
				t.Error(err)
			}
			if err := b.Clean(t.Context(), testbed.Remains{Testbed: made, Folders: map[string]string{accountFolder: s.Plan.Account}}); err != nil {
				t.Error(err)
			}
			p.await(t, test.prior)
			if next, err := b.Furnish(made); err != nil || !strings.Contains(next.Files[planPath], other) {
				t.Errorf("the next try: %v, %v", next.Files[planPath], err)
			}
			if failures := b.regions.get(p.rc).failures; (failures == 1) != test.fit {
				t.Errorf("%d failures of the region", failures)
			}
		})
	}
}

// TestFloating: a testbed that is to be reached from outside has an address as long as it lives.
func TestFloating(t *testing.T) {
	rc := openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	sshd := startLocalSSHD(t)
	made := of("w-"+strings.ToLower(text(8)), "run", append(words(sshd, "m1.tiny", rc), "--associate-ip", "--net-id", "net_scalingstack"))
	f, err := (backend{newRegions()}).Furnish(made)
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t, f, t.TempDir(), new(openstack.Sessions))
	s.Reach = sshd.reach
	defer func() {
		if err := s.Cleanup(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		left, err := s.Region.FloatingIPsMarked(context.WithoutCancel(t.Context()), mark(s.Plan.Tags))
		if err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}()
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := inventory(t.Context(), s.Region)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range found {
		if o.Worker == made.Worker && o.name == made.Name {
			kinds = append(kinds, o.label)
		}
	}
	if len(kinds) != 2 {
		t.Errorf("the janitor would see %v, want a server and its address", kinds)
	}
	again, err := s.float(t.Context(), func() *openstack.Server {
		id, _ := s.made()
		server, _ := s.Region.Server(t.Context(), id)
		return server
	}())
	if err != nil || again != kinds[1] {
		t.Errorf("after the server was made anew: %s, %v", again, err)
	}
}

// TestTry names all that is missing, in each region, and nothing else.
func TestTry(t *testing.T) {
	lcy01 := openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	lgw01 := openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01)
	b, key := backend{newRegions()}, openstacktest.PrivateKey(t)
	good := []string{"--rc-file", lcy01, "--rc-file", lgw01, "--key-file", key, "--flavor", "m1.tiny", "--image", "testbed", "-N", "net_scalingstack"}
	if err := b.Try(t.Context(), [][]string{good, good}); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
	bad := []string{"--rc-file", lcy01, "--rc-file", lgw01, "--key-file", key + "x", "--flavor", "m9", "--image", "xenial", "-N", "nowhere", "-k", "nobody's"}
	err := b.Try(t.Context(), [][]string{bad, bad})
	for _, part := range []string{"read the testbeds' key", "flavor \"m9\"", "matches \"xenial\"", "network \"nowhere\"", "key pair \"nobody's\""} {
		want := 2 // regions
		if strings.HasPrefix(part, "read") {
			want = 1
		}
		if got := strings.Count(fmt.Sprint(err), part); got != want {
			t.Errorf("%d times %s, want %d, in:\n%v", got, part, want, err)
		}
	}
}
