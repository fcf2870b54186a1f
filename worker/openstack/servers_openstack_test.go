//go:build openstack

package openstack_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

func scalingstack(t *testing.T) *openstack.Region {
	t.Helper()
	return region(t, new(openstack.Sessions), openstacktest.Cloud(t, openstacktest.Scalingstack, openstacktest.Lcy01))
}

// boot asks for a server that the test removes at its end.
func boot(t *testing.T, r *openstack.Region, flavor string, tags ...string) string {
	t.Helper()
	image, err := r.NewestImage(t.Context(), "testbed")
	if err != nil {
		t.Fatal(err)
	}
	size, err := r.Flavor(t.Context(), flavor)
	if err != nil {
		t.Fatal(err)
	}
	network, err := r.InternalNetwork(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Boot(t.Context(), openstack.Boot{
		Name: "test-" + strings.ToLower(rand.Text()), Image: image.ID, Flavor: size.ID, Network: network.ID, Key: "scalingstack",
		Groups: []string{"default"}, UserData: []byte("#cloud-config\n"), Tags: tags,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.DeleteServer(context.WithoutCancel(t.Context()), id); err != nil {
			t.Error(err)
		}
	})
	return id
}

func TestServer(t *testing.T) {
	t.Parallel()
	r := scalingstack(t)
	tag := "test-" + rand.Text()
	id := boot(t, r, "m1.tiny", tag, "autopkgtest-cloud")
	server, err := r.AwaitActive(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if fixed, floating := openstack.Addresses(server); len(fixed) != 1 || len(floating) != 0 || server.KeyName != "scalingstack" {
		t.Errorf("addresses %v, %v; key %s", fixed, floating, server.KeyName)
	}
	found, err := r.ServersTagged(t.Context(), tag)
	if err != nil || len(found) != 1 || found[0].ID != id {
		t.Errorf("by its tag: %v, %v", found, err)
	}
	if console := r.Console(t.Context(), id); console == "" {
		t.Error("nothing is said of the console")
	}
	if err := errors.Join(r.DeleteServer(t.Context(), id), r.AwaitGone(t.Context(), id), r.DeleteServer(t.Context(), id)); err != nil {
		t.Error(err)
	}
	if _, err := r.Server(t.Context(), id); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := r.AwaitActive(t.Context(), id); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("waiting for what somebody has deleted: %v", err)
	}
}

func TestNoHost(t *testing.T) {
	t.Parallel()
	r := scalingstack(t)
	_, err := r.AwaitActive(t.Context(), boot(t, r, "m1.huge"))
	if !errors.Is(err, openstack.ErrNoHost) {
		t.Fatal(err)
	}
	for _, part := range []string{"region lcy01 of cloud http", "No valid host", "(request req-", "another region"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("«%v» lacks «%s»", err, part)
		}
	}
}

func TestNoSuchThing(t *testing.T) {
	t.Parallel()
	r := scalingstack(t)
	for name, look := range map[string]func(context.Context) error{
		"no active image matches": func(ctx context.Context) error { _, err := r.NewestImage(ctx, "ubuntu-xenial"); return err },
		"there is no flavor":      func(ctx context.Context) error { _, err := r.Flavor(ctx, "m9"); return err },
		"there is no network":     func(ctx context.Context) error { _, err := r.InternalNetwork(ctx, "net_nowhere"); return err },
		"no external network":     func(ctx context.Context) error { _, err := r.ExternalNetwork(ctx, "net_scalingstack"); return err },
	} {
		err := look(t.Context())
		if !errors.Is(err, openstack.ErrNotFound) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "region lcy01") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestImpatience: who has no time left is told what the server is.
func TestImpatience(t *testing.T) {
	t.Parallel()
	r := scalingstack(t)
	id := boot(t, r, "m1.tiny")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := r.AwaitActive(ctx, id); err == nil || !strings.Contains(err.Error(), "BUILD") {
		t.Errorf("%v", err)
	}
}
