//go:build openstack

package nova

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestBadDays: why there is no testbed is noted for the worker with the place, the request that was refused and the way out; the public log
// has the cloud's words and no account; and whether the region is to blame decides about the next one.
func TestBadDays(t *testing.T) {
	p := openstacktest.NewProject(t, openstacktest.Lcy01)
	p.Network("10.99.0.0/24")
	sshd := startLocalSSHD(t)
	changed := func(variable, value string) string {
		content, err := os.ReadFile(p.RC)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "changed.rc")
		text := regexp.MustCompile(`(?m)^export `+variable+`=.*$`).ReplaceAllLiteralString(string(content), "export "+variable+"="+value)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		rc       string
		more     []string
		day      func() (over func())
		kind     error
		regional bool
		says     []string
	}{
		"wrong password": {
			rc: changed("OS_PASSWORD", "Wrong1"), kind: openstack.ErrDenied, regional: true,
			says: []string{"region lcy01 of cloud http", "401 Unauthorized", "(request req-", "changed.rc; try it with: openstack token issue"},
		},
		"unknown region": {
			rc: changed("OS_REGION_NAME", "lcy02"), kind: openstack.ErrUnknownRegion, regional: true,
			says: []string{"region lcy02 of cloud http", "the cloud has no region lcy02", "lcy01, lgw01", "correct OS_REGION_NAME"},
		},
		"no neutron": {
			day: func() func() { return p.Hide("network") }, kind: openstack.ErrNoService, regional: true,
			says: []string{"region lcy01 of cloud http", "network (neutron)", "ask the cloud's operators for it"},
		},
		"no image": {
			more: []string{"--image", "xenial"}, kind: openstack.ErrNotFound,
			says: []string{"region lcy01 of cloud http", `no active image matches "xenial"`, "correct the pattern, or upload an image; there are dummy, testbed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.rc == "" {
				test.rc = p.RC
			}
			b := backend{newRegions()}
			made := of("w", "run", append(words(sshd, "m1.tiny", test.rc), test.more...))
			f, err := b.Furnish(made)
			if err != nil {
				t.Fatal(err)
			}
			if test.day != nil {
				if over := test.day(); over != nil {
					defer over()
				}
			}
			s := setup(t, f, t.TempDir(), new(openstack.Sessions))
			s.Reach = sshd.reach
			failed := s.Open(t.Context()) // makes nothing
			if !errors.Is(failed, test.kind) {
				t.Errorf("%v, want %v", failed, test.kind)
			}
			said, err := s.account().read()
			if err != nil || said.Failure == nil || said.Failure.Region != test.regional {
				t.Fatalf("noted: %+v, %v", said, err)
			}
			for _, part := range test.says {
				if !strings.Contains(said.Failure.Text, part) {
					t.Errorf("«%s» lacks «%s»", said.Failure.Text, part)
				}
			}
			if shown := public(failed); strings.Contains(shown, ".rc") || strings.Contains(shown, p.Name+",") || strings.Contains(shown, "worker tells why") {
				t.Errorf("in the public log: %s", shown)
			}
		})
	}
	p.Pool("pool-"+p.Name, "203.0.113.0/24")
	floating := append(words(sshd, "m1.tiny", p.RC), "--associate-ip")
	err := backend{newRegions()}.Try(t.Context(), [][]string{floating})
	for _, part := range []string{"region lcy01 of cloud http", "external network: ext-net, pool-" + p.Name, "name one of them with --floating-pool"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("«%v» lacks «%s»", err, part)
		}
	}
	if err := (backend{newRegions()}).Try(t.Context(), [][]string{append(floating, "--floating-pool", "pool-"+p.Name)}); err != nil {
		t.Errorf("with a pool that is named: %v", err)
	}
}

// TestDeletedByHand: somebody deletes a testbed's server. What is asked of it then says so, its clean-up goes well, and the region is not
// blamed.
func TestDeletedByHand(t *testing.T) {
	p := newProject(t, 1)
	sshd := startLocalSSHD(t)
	b := backend{newRegions()}
	made := of("w", "run", words(sshd, "m1.tiny", p.rc))
	f, err := b.Furnish(made)
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t, f, t.TempDir(), new(openstack.Sessions))
	s.Reach = sshd.reach
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, err := s.made()
	if err = errors.Join(err, p.region.DeleteServer(t.Context(), id), p.region.AwaitGone(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(context.Context) error{"revert": s.Revert, "debug-failure": s.DebugFailure} {
		err := ask(t.Context())
		if !errors.Is(err, openstack.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range []string{"region lcy01 of cloud http", id, "(request req-", "it was removed"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: «%v» lacks «%s»", name, err, part)
			}
		}
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Clean(t.Context(), testbed.Remains{Testbed: made, Folders: map[string]string{accountFolder: s.Plan.Account}}); err != nil {
		t.Error(err)
	}
	if failures := b.regions.get(p.rc).failures; failures != 0 {
		t.Errorf("%d failures of the region", failures)
	}
}
