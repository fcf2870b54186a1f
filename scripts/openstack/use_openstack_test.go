//go:build openstack

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/objectstorage/v1/containers"
	"github.com/gophercloud/gophercloud/v2/openstack/objectstorage/v1/objects"
)

// given is the folder of RC files of the cloud that this runs below. Nothing is changed there that another test looks at.
func given(t *testing.T) string {
	t.Helper()
	rc := os.Getenv(folderVariable)
	if rc == "" {
		t.Fatalf("%s does not name a cloud's RC files: run this by build/tools/openstack run -- go test ..., or make test-openstack",
			folderVariable)
	}
	return rc
}

// TestUse: each region, and the store, as their users see them.
func TestUse(t *testing.T) {
	rc := given(t)
	for _, r := range regions {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			useRegion(t, filepath.Join(rc, "prodstack-"+r.Name+".rc"), r)
		})
	}
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		useStore(t, rc)
	})
}

// useName is what all is called that is made here; others use the cloud as well.
const useName = "openstack-use"

// afterwards removes what a test has made, in the opposite order.
func afterwards(t *testing.T, what string, remove func(context.Context) error) {
	t.Cleanup(func() {
		if err := remove(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("remove %s: %v", what, err)
		}
	})
}

// read takes an RC file's values, and wants that nobody else can read it.
func read(t *testing.T, path string) map[string]string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has the mode %o", path, info.Mode().Perm())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		values[key] = value
	}
	return values
}

func enter(t *testing.T, values map[string]string) *gophercloud.ProviderClient {
	t.Helper()
	provider, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
		IdentityEndpoint: values["OS_AUTH_URL"], Username: values["OS_USERNAME"], Password: values["OS_PASSWORD"],
		DomainName: values["OS_USER_DOMAIN_NAME"], TenantName: values["OS_PROJECT_NAME"],
	})
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

// must is for calls that have to work.
func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// named picks one of a list.
func named[T any](t *testing.T, list []T, name string, nameOf func(T) string) T {
	t.Helper()
	for _, one := range list {
		if nameOf(one) == name {
			return one
		}
	}
	t.Fatalf("there is no %s", name)
	panic("not reached")
}

// useRegion does what a worker of the cloud does there: a group with a rule, a server, an address.
func useRegion(t *testing.T, path string, r region) {
	ctx := t.Context()
	values := read(t, path)
	provider := enter(t, values)
	where := gophercloud.EndpointOpts{Region: values["OS_REGION_NAME"]}
	compute := client(t)(openstack.NewComputeV2(provider, where))
	network := client(t)(openstack.NewNetworkV2(provider, where))
	pictures := client(t)(openstack.NewImageV2(provider, where))

	group, err := groups.Create(ctx, network, groups.CreateOpts{Name: useName}).Extract()
	must(t, group, err)
	afterwards(t, "the security group", func(ctx context.Context) error { return groups.Delete(ctx, network, group.ID).ExtractErr() })
	rule, err := rules.Create(ctx, network, rules.CreateOpts{
		SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
		PortRangeMin: 22, PortRangeMax: 22,
	}).Extract()
	must(t, rule, err)

	nets, err := everything(ctx, networks.List(network, nil), networks.ExtractNetworks)
	own := named(t, must(t, nets, err), "net_prodstack", func(n networks.Network) string { return n.Name })
	outside := named(t, nets, "ext-net", func(n networks.Network) string { return n.Name })
	kinds, err := everything(ctx, flavors.ListDetail(compute, nil), flavors.ExtractFlavors)
	kind := named(t, must(t, kinds, err), "m1.small", func(f flavors.Flavor) string { return f.Name })
	all, err := everything(ctx, images.List(pictures, nil), images.ExtractImages)
	image := named(t, must(t, all, err), "testbed", func(i images.Image) string { return i.Name })

	server, err := servers.Create(ctx, compute, servers.CreateOpts{
		Name: useName, FlavorRef: kind.ID, ImageRef: image.ID, Networks: []servers.Network{{UUID: own.ID}}, SecurityGroups: []string{useName},
	}, nil).Extract()
	must(t, server, err)
	afterwards(t, "the server", func(ctx context.Context) error {
		if err := servers.Delete(ctx, compute, server.ID).ExtractErr(); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			return err
		}
		return nil
	})
	await(t, "the server", func() bool {
		server, err = servers.Get(ctx, compute, server.ID).Extract()
		if err != nil || server.Status == "ERROR" {
			t.Fatalf("server: %v, %+v", err, server)
		}
		return server.Status == "ACTIVE"
	})

	doors, err := everything(ctx, ports.List(network, ports.ListOpts{DeviceID: server.ID}), ports.ExtractPorts)
	if must(t, doors, err); len(doors) != 1 || len(doors[0].SecurityGroups) != 1 || doors[0].SecurityGroups[0] != group.ID {
		t.Fatalf("ports: %+v", doors)
	}
	address, err := floatingips.Create(ctx, network, floatingips.CreateOpts{FloatingNetworkID: outside.ID, PortID: doors[0].ID}).Extract()
	if must(t, address, err); !strings.HasPrefix(address.FloatingIP, r.Floating+".") {
		t.Errorf("floating IP %s", address.FloatingIP)
	}
	afterwards(t, "the floating IP", func(ctx context.Context) error { return floatingips.Delete(ctx, network, address.ID).ExtractErr() })
	await(t, "the server's addresses", func() bool {
		server, err = servers.Get(ctx, compute, server.ID).Extract()
		return err == nil && strings.Contains(fmt.Sprint(server.Addresses), address.FloatingIP)
	})

	if err := servers.Delete(ctx, compute, server.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	await(t, "the server's end", func() bool {
		_, err := servers.Get(ctx, compute, server.ID).Extract()
		return gophercloud.ResponseCodeIs(err, http.StatusNotFound)
	})
}

// client is must for a call that makes one.
func client(t *testing.T) func(*gophercloud.ServiceClient, error) *gophercloud.ServiceClient {
	return func(c *gophercloud.ServiceClient, err error) *gophercloud.ServiceClient { return must(t, c, err) }
}

// useStore is about what readers without credentials see.
func useStore(t *testing.T, rc string) {
	ctx := t.Context()
	values := read(t, filepath.Join(rc, "prodstack-lcy01.rc"))
	store, err := openstack.NewObjectStorageV1(enter(t, values), gophercloud.EndpointOpts{Region: "lgw01"})
	must(t, store, err)
	_, err = containers.Create(ctx, store, useName, containers.CreateOpts{ContainerRead: ".r:*,.rlistings"}).Extract()
	must(t, 0, err)
	afterwards(t, "the container", func(ctx context.Context) error {
		_, err := objects.Delete(ctx, store, useName, "noble/log", nil).Extract()
		_, left := containers.Delete(ctx, store, useName).Extract()
		return errors.Join(err, left)
	})
	_, err = objects.Create(ctx, store, useName, "noble/log", objects.CreateOpts{Content: strings.NewReader("PASS")}).Extract()
	must(t, 0, err)
	for _, one := range []struct {
		method, path string
		code         int
		body         string
	}{
		{http.MethodGet, useName, http.StatusOK, "noble/log\n"},
		{http.MethodGet, useName + "/noble/log", http.StatusOK, "PASS"},
		{http.MethodPut, useName + "/noble/other", http.StatusUnauthorized, ""},
		{http.MethodGet, "", http.StatusUnauthorized, ""},
	} {
		request, err := http.NewRequestWithContext(ctx, one.method, store.Endpoint+one.path, nil)
		must(t, request, err)
		response, err := http.DefaultClient.Do(request)
		must(t, response, err)
		content, err := io.ReadAll(response.Body)
		must(t, content, err)
		response.Body.Close()
		if response.StatusCode != one.code || one.body != "" && string(content) != one.body {
			t.Errorf("%s %s: %s %q", one.method, one.path, response.Status, content)
		}
	}
	// Another project's user is somebody else here.
	other, err := openstack.NewObjectStorageV1(enter(t, read(t, filepath.Join(rc, "scalingstack-lcy01.rc"))), gophercloud.EndpointOpts{Region: "lgw01"})
	must(t, other, err)
	other.Endpoint = store.Endpoint
	_, err = objects.Create(ctx, other, useName, "noble/log", objects.CreateOpts{Content: strings.NewReader("FAIL")}).Extract()
	if !gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		t.Errorf("another project writes: %v", err)
	}
}
