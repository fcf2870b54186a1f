//go:build openstack

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// program builds the command, for the signals that it is sent.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openstack")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return path
}

// places makes a folder in which every account can make one.
func places(t *testing.T) string {
	t.Helper()
	place, err := os.MkdirTemp("", "openstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(place, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(place); err != nil {
			t.Error(err)
		}
	})
	return place
}

// cache is where `make` has it, so that the databases are made once.
const cache = "../../" + defaultCache

// call runs the command and returns what it printed, and how long it took.
func call(t *testing.T, program string, arguments ...string) (string, time.Duration) {
	t.Helper()
	begin := time.Now()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), program, arguments...)
	c.Stdout, c.Stderr = &out, os.Stderr
	if err := c.Run(); err != nil {
		t.Fatalf("openstack %s: %v", strings.Join(arguments, " "), err)
	}
	took := time.Since(begin)
	t.Logf("openstack %s: %.1f s", arguments[0], took.Seconds())
	return out.String(), took
}

// processesOf are those that bear the folder's mark.
func processesOf(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(host.DirectoryMark+"="+folder)) {
			found = append(found, path)
		}
	}
	return found
}

func TestCloud(t *testing.T) {
	bin, folder := program(t), filepath.Join(places(t), "cloud")
	t.Cleanup(func() {
		if out, err := exec.Command(bin, "down", "--directory", folder).CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
	})
	rc, _ := call(t, bin, "up", "--directory", folder, "--cache", cache)
	rc = strings.TrimSpace(rc)
	for _, r := range regions {
		t.Run(r.Name, func(t *testing.T) { useRegion(t, filepath.Join(rc, "prodstack-"+r.Name+".rc"), r) })
	}
	t.Run("store", func(t *testing.T) { useStore(t, rc) })
	t.Run("status", func(t *testing.T) {
		out, _ := call(t, bin, "status", "--directory", folder)
		if strings.Contains(out, "down") || strings.Count(out, " up ") < 25 {
			t.Errorf("status:\n%s", out)
		}
	})
	t.Run("again", func(t *testing.T) {
		before := processesOf(t, folder)
		if _, took := call(t, bin, "up", "--directory", folder, "--cache", cache); took > 30*time.Second {
			t.Errorf("what runs already took %s", took)
		}
		if after := processesOf(t, folder); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("processes before %v, after %v", before, after)
		}
	})
	t.Run("down", func(t *testing.T) {
		call(t, bin, "down", "--directory", folder)
		if left := processesOf(t, folder); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if _, err := os.Lstat(folder); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
}

// TestRunIsKilled while its command runs, and has left nothing a while after.
func TestRunIsKilled(t *testing.T) {
	bin, place := program(t), places(t)
	script := `set -e
		test -s "$AUTOPKGTEST_TEST_OPENSTACK/scalingstack-lgw01.rc"
		. "$AUTOPKGTEST_TEST_OPENSTACK/scalingstack-lgw01.rc"
		curl -sf "$OS_AUTH_URL" >"$1/ready"
		exec sleep 1000`
	c := exec.Command(bin, "run", "--place", place, "--cache", cache, "--", "/bin/sh", "-c", script, "sh", place)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the command", func() bool {
		content, err := os.ReadFile(filepath.Join(place, "ready"))
		return err == nil && len(content) > 0
	})
	if err := os.Remove(filepath.Join(place, "ready")); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	await(t, "the guard's work", func() bool {
		left, err := os.ReadDir(place)
		return err == nil && len(left) == 0
	})
	if left := processesOf(t, place); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// await looks again and again: what is awaited is done by processes that are not our children.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	begin := time.Now()
	defer func() { t.Logf("%s: after %.1f s", what, time.Since(begin).Seconds()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
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

	group, err := groups.Create(ctx, network, groups.CreateOpts{Name: "testbeds"}).Extract()
	must(t, group, err)
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
		Name: "one", FlavorRef: kind.ID, ImageRef: image.ID, Networks: []servers.Network{{UUID: own.ID}}, SecurityGroups: []string{"testbeds"},
	}, nil).Extract()
	must(t, server, err)
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
	_, err = containers.Create(ctx, store, "results", containers.CreateOpts{ContainerRead: ".r:*,.rlistings"}).Extract()
	must(t, 0, err)
	_, err = objects.Create(ctx, store, "results", "noble/log", objects.CreateOpts{Content: strings.NewReader("PASS")}).Extract()
	must(t, 0, err)
	for _, one := range []struct {
		method, path string
		code         int
		body         string
	}{
		{http.MethodGet, "results", http.StatusOK, "noble/log\n"},
		{http.MethodGet, "results/noble/log", http.StatusOK, "PASS"},
		{http.MethodPut, "results/noble/other", http.StatusUnauthorized, ""},
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
	_, err = objects.Create(ctx, other, "results", "noble/log", objects.CreateOpts{Content: strings.NewReader("FAIL")}).Extract()
	if !gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		t.Errorf("another project writes: %v", err)
	}
}
