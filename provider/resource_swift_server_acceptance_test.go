//go:build acceptance

package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

func storeConfiguration(directory, listen string) string {
	if listen != "" {
		listen = fmt.Sprintf("listen = %q", listen)
	}
	return providerBlock("acc", directory) + fmt.Sprintf(`
resource "autopkgtest_swift_server" "store" {
  force_destroy = true
  %s
}
`, listen)
}

// TestAccSwiftServerRefuses: an address that is of no use is refused by the plan, and nothing is begun.
func TestAccSwiftServerRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ listen, want string }{
		"a name":                 {"localhost", `"localhost": write an address of this machine`},
		"a port":                 {"127.0.0.1:8080", `"127.0.0.1:8080": write an address of this machine`},
		"another form":           {"0:0:0:0:0:0:0:1", `the address "0:0:0:0:0:0:0:1" cannot be listened on`},
		"another machine's":      {"192.0.2.77", `The store cannot listen there(.|\n)*the address "192.0.2.77" cannot be listened on`},
		"all":                    {"0.0.0.0", `the address "0.0.0.0" stands for all addresses, and clients are told one`},
		"all, in the other form": {"::", `the address "::" stands for all addresses, and clients are told one`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newStack(t)
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: storeConfiguration(directory, tc.listen), PlanOnly: true,
				ExpectError: regexp.MustCompile(strings.ReplaceAll(tc.want, " ", `\s+`)),
			}}})
			if _, err := os.Lstat(directory); err == nil {
				t.Error("a plan has made the folder")
			}
		})
	}
}

// TestAccSwiftServerListens is the life of the store's address: the default, another one, drifted, imported, one of IPv6, and back.
// At each the store goes on with what it holds.
func TestAccSwiftServerListens(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	credentials := filepath.Join(directory, "credentials", "swift-worker")
	const other = "127.0.0.9"
	empty := []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}
	moved := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{onlyUpdates{storeServer}}, PostApplyPostRefresh: empty}
	at := func(address string) resource.TestCheckFunc {
		return func(state *terraform.State) error {
			found := state.RootModule().Resources[storeServer].Primary.Attributes
			for _, attribute := range []string{"store.auth_url", "store.storage_url"} {
				if u, err := url.Parse(found[attribute]); err != nil || u.Hostname() != address {
					return fmt.Errorf("%s is %q, want one at %s", attribute, found[attribute], address)
				}
			}
			account, err := config.ReadStore(credentials)
			if err == nil && (account.AuthURL != found["store.auth_url"] || account.StorageURL != found["store.storage_url"]) {
				err = fmt.Errorf("the credentials lead to %s and %s", account.AuthURL, account.StorageURL)
			}
			if err == nil {
				err = errors.Join(serves(t.Context(), account), onlyAt(directory, address))
			}
			return err
		}
	}
	steps := []resource.TestStep{
		{Config: storeConfiguration(directory, ""), Check: at("127.0.0.1")},
		{Config: storeConfiguration(directory, other), ConfigPlanChecks: moved, Check: at(other)},
		{
			ResourceName: storeServer, ImportState: true, ImportStateId: directory, ImportStateVerify: true,
			ImportStateVerifyIdentifierAttribute: "directory", ImportStateVerifyIgnore: []string{"force_destroy"},
		},
	}
	replace := func(file, old, with string) func() {
		return func() {
			content, err := os.ReadFile(file)
			if err == nil && !bytes.Contains(content, []byte(old)) {
				err = fmt.Errorf("%s has no %q", file, old)
			}
			if err == nil {
				err = os.WriteFile(file, bytes.ReplaceAll(content, []byte(old), []byte(with)), 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	for reason, damage := range map[string]func(){
		`etc/proxy-server\.conf`: replace(filepath.Join(directory, "services/swift/etc/proxy-server.conf"),
			"bind_ip = "+other, "bind_ip = 0.0.0.0"),
		`does not lead to the store`: replace(credentials, "http://"+other, "http://127.0.0.10"),
	} {
		steps = append(steps, repaired(storeServer, reason, storeConfiguration(directory, other), damage)...)
		steps[len(steps)-1].Check = at(other)
	}
	steps = append(steps,
		resource.TestStep{Config: storeConfiguration(directory, "::1"), ConfigPlanChecks: moved, Check: at("::1")},
		resource.TestStep{Config: storeConfiguration(directory, ""), ConfigPlanChecks: moved, Check: at("127.0.0.1")},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if left := existing([]string{directory}); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}

// serves says whether a client writes with an account, and a stranger reads what is public, lists it, and writes nothing.
func serves(ctx context.Context, account config.Store) error {
	const container, object, text = "autopkgtest-rel", "rel/amd64/g/green/1@/log.gz", "a log"
	client := swiftstore.New(account)
	for _, name := range []string{container, "private-rel"} {
		if err := client.CreateContainer(ctx, name, name == container); err != nil {
			return err
		}
		if err := client.Put(ctx, name, object, strings.NewReader(text), int64(len(text)), store.Properties{}); err != nil {
			return err
		}
	}
	for _, call := range []struct {
		method, path string
		status       int
		says         string
	}{
		{http.MethodGet, container + "/" + object, http.StatusOK, text},
		{http.MethodGet, container + "?prefix=rel/", http.StatusOK, object},
		{http.MethodGet, "private-rel/" + object, http.StatusUnauthorized, ""},
		{http.MethodPut, container + "/" + object, http.StatusUnauthorized, ""},
	} {
		request, err := http.NewRequestWithContext(ctx, call.method, account.StorageURL+"/"+call.path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if response.StatusCode != call.status || !strings.Contains(string(body), call.says) {
			return fmt.Errorf("%s %s: %s: %s", call.method, request.URL, response.Status, body)
		}
	}
	return nil
}

// onlyAt says whether the store's proxy is at one address, and all that is behind it on loopback.
func onlyAt(directory, address string) error {
	d, err := host.Open(directory, "acc")
	if err != nil {
		return err
	}
	behind := []host.Role{host.RoleSwiftAccount, host.RoleSwiftContainer, host.RoleSwiftObject, host.RoleMemcached}
	for _, place := range []string{"127.0.0.1", "127.0.0.9", "::1"} {
		for _, role := range append(behind, host.RoleSwiftProxy) {
			want := place == "127.0.0.1"
			if role == host.RoleSwiftProxy {
				want = place == address
			}
			end := net.JoinHostPort(place, fmt.Sprint(d.Port(role)))
			connection, err := net.DialTimeout("tcp", end, 5*time.Second)
			if err == nil {
				err = connection.Close()
			}
			if (err == nil) != want {
				return fmt.Errorf("somebody listens at %s: %v, want %v", end, err == nil, want)
			}
		}
	}
	return nil
}
