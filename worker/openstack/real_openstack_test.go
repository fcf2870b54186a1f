//go:build openstack

package openstack_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/catalog"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

func region(t *testing.T, s *openstack.Sessions, c cloudrc.Cloud) *openstack.Region {
	t.Helper()
	secure, err := c.TLS(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Region(c, secure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func listNetworks(ctx context.Context, r *openstack.Region) (names []string, err error) {
	err = r.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
		pages, err := networks.List(client, networks.ListOpts{}).AllPages(ctx)
		if err != nil {
			return err
		}
		found, err := networks.ExtractNetworks(pages)
		for _, n := range found {
			names = append(names, n.Name)
		}
		return err
	})
	return names, err
}

func listFlavors(ctx context.Context, r *openstack.Region) error {
	return r.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error {
		_, err := flavors.ListDetail(client, nil).AllPages(ctx)
		return err
	})
}

// TestOneToken: ten callers in two regions log in once.
func TestOneToken(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	c := between.Cloud(t)
	other := c
	other.Region = openstacktest.Lgw01
	var sessions openstack.Sessions
	var together sync.WaitGroup
	for range 5 {
		for _, c := range []cloudrc.Cloud{c, other} {
			together.Go(func() {
				names, err := listNetworks(t.Context(), region(t, &sessions, c))
				if err != nil || len(names) == 0 {
					t.Errorf("networks of %s: %v, %v", c.Region, names, err)
				}
			})
		}
	}
	together.Wait()
	if count := between.Count(http.MethodPost, "identity", "/auth/tokens"); count != 1 {
		t.Errorf("%d logins: %v", count, between.Requests())
	}
}

// TestRevoked: a token that is not accepted any more is replaced in the middle, once, and the calls succeed. Keystone refuses it at
// once, the other services when they have forgotten that they knew it.
func TestRevoked(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	r := region(t, new(openstack.Sessions), between.Cloud(t))
	if err := listFlavors(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := r.Do(t.Context(), openstack.Identity, func(client *gophercloud.ServiceClient) error {
		return tokens.Revoke(t.Context(), client, client.Token()).Err
	}); err != nil {
		t.Fatal(err)
	}
	var together sync.WaitGroup
	for range 4 {
		together.Go(func() {
			err := r.Do(t.Context(), openstack.Identity, func(client *gophercloud.ServiceClient) error {
				_, err := catalog.List(client).AllPages(t.Context())
				return err
			})
			if err != nil {
				t.Errorf("after the token was revoked: %v", err)
			}
		})
	}
	together.Wait()
	if err := listFlavors(t.Context(), r); err != nil {
		t.Error(err)
	}
	if count := between.Count(http.MethodPost, "identity", "/auth/tokens"); count != 2 {
		t.Errorf("%d logins", count)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*cloudrc.Cloud)
		kind   error
		says   []string
	}{
		{"wrong password", func(c *cloudrc.Cloud) { c.Password = "Secret1" }, openstack.ErrDenied,
			[]string{"POST /identity/v3/auth/tokens", "401", "request req-", "the password", "openstack token issue"}},
		{"unknown project", func(c *cloudrc.Cloud) { c.ProjectName = "nobody's" }, openstack.ErrDenied, nil},
		{"unknown region", func(c *cloudrc.Cloud) { c.Region = "lcy02" }, openstack.ErrUnknownRegion,
			[]string{"no region lcy02", "lcy01, lgw01"}},
		{"no region", func(c *cloudrc.Cloud) { c.Region = "" }, openstack.ErrUnknownRegion,
			[]string{"names no region", "lcy01, lgw01"}},
		{"nobody there", func(c *cloudrc.Cloud) { c.AuthURL = "http://127.0.0.1:9/v3" }, openstack.ErrUnavailable,
			[]string{"127.0.0.1:9", "reachable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01).Cloud(t)
			c.change(&cloud)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := listNetworks(ctx, region(t, new(openstack.Sessions), cloud))
			if !errors.Is(err, c.kind) {
				t.Fatalf("%v is not «%v»", err, c.kind)
			}
			for _, part := range append(c.says, "project "+cloud.ProjectName, cloud.AuthURL) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("«%v» lacks «%s»", err, part)
				}
			}
			if strings.Contains(err.Error(), cloud.Password.Reveal()) {
				t.Error("the error shows the password")
			}
		})
	}
}

// TestRegionAway: a region that is away for a moment is waited for.
func TestRegionAway(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	r := region(t, new(openstack.Sessions), between.Cloud(t))
	if _, err := listNetworks(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	left := 3
	between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
		mu.Lock()
		defer mu.Unlock()
		if s.Service != "network" || left == 0 {
			return false
		}
		if left--; left == 1 {
			openstacktest.Cut(w)
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	begin := time.Now()
	if _, err := listNetworks(t.Context(), r); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 2*time.Second || left != 0 {
		t.Errorf("took %s, %d failures left: Retry-After was not honoured", took, left)
	}
}

// TestWithoutRouter: when the caller's time ends in a try, the error is still about what was waited for.
func TestWithoutRouter(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	r := region(t, new(openstack.Sessions), between.Cloud(t))
	if _, err := listNetworks(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var tries atomic.Int32
	between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
		if s.Method != http.MethodPut {
			return false
		}
		if tries.Add(1) > 1 {
			<-ctx.Done()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"NeutronError": {"type": "ExternalGatewayForFloatingIPNotFound", "detail": "",
			"message": "External network one is not reachable from subnet two."}}`))
		return true
	})
	_, err := r.Associate(ctx, "an-address", "a-port", "")
	if !errors.Is(err, openstack.ErrUnavailable) || !strings.Contains(err.Error(), "no router led") || tries.Load() != 2 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
}
