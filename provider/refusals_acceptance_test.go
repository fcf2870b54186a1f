//go:build acceptance

package provider

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// words makes a pattern of a sentence that Terraform may break anywhere between its words.
func words(text string) *regexp.Regexp {
	return regexp.MustCompile(regexp.MustCompile(` +`).ReplaceAllString(text, `\s+`))
}

// TestAccRefusals: each message names the thing and the way out, and nothing is left of the attempt.
func TestAccRefusals(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // the subtests run after this function has returned
	taken := listener.Addr().(*net.TCPAddr).Port

	closed := filepath.Join(filepath.Dir(newStack(t)), "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(filepath.Dir(newStack(t)), "full")
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	sealed := filepath.Join(filepath.Dir(newStack(t)), "sealed")
	if err := os.Mkdir(sealed, 0o555); err != nil {
		t.Fatal(err)
	}

	web := func(directory, extra string) string {
		return providerBlock("acc", directory) + fmt.Sprintf(`
resource "autopkgtest_web" "test" {
  broker_credentials_file = "/nonexistent/collector"
  storage_url             = "http://127.0.0.1:1/v1/AUTH_x"
  releases                = ["rel"]
  architectures           = ["amd64"]
  %s
}
`, extra)
	}
	image := func(directory, release, extra string) string {
		return providerBlock("acc", directory) + fmt.Sprintf(`
resource "autopkgtest_testbed_image" "test" {
  release = %q
  %s
}
`, release, extra)
	}
	for name, tc := range map[string]struct {
		configuration func(directory string) string
		want          string
	}{
		"a taken port": {func(d string) string { return web(d, fmt.Sprintf("port = %d", taken)) },
			fmt.Sprintf(`the port 127.0.0.1:%d is taken by`, taken)},
		"a folder that the account cannot enter": {func(string) string { return web(closed+"/stack", "") }, `stands in the way`},
		"a folder that the account cannot write to": {func(string) string { return web(sealed, "") },
			`the folder ` + sealed + ` cannot be used by(.|\n)*` + sealed + ` stands in the way(.|\n)*or open ` + sealed + ` to it`},
		"a folder with other things": {func(string) string { return web(full, "") },
			`holds other things and no stack.json(.|\n)*empty it by hand`},
		"a relative folder": {func(string) string { return web("stack", "") }, `abspath\("stack"\)`},
		"no folder": {func(d string) string {
			return "provider \"autopkgtest\" {\n  binaries = \"" + programs + "\"\n}\nresource \"autopkgtest_swift_server\" \"test\" {}\n"
		}, `Set one of them to an absolute path`},
		"no programs": {func(d string) string {
			return fmt.Sprintf("provider \"autopkgtest\" {\n  directory = %q\n  binaries = \"/nonexistent\"\n}\n", d) +
				"resource \"autopkgtest_testbed_image\" \"test\" {\n  release = \"noble\"\n}\n"
		}, `/nonexistent/linux_\w+/autopkgtest-worker cannot be read`},
		"a service that never is ready": {func(d string) string { return web(d, "timeouts = {\n    create = \"5s\"\n  }") },
			`/nonexistent/collector(.|\n)*5s was all the time for it(.|\n)*raise timeouts.create`},
		"an archive on this machine": {func(d string) string { return image(d, "rel", `mirror = "http://127.0.0.1:9/debian"`) },
			`Could not build the image of rel for \w+ from http://127.0.0.1:9/debian`},
		"an archive that is not there": {func(d string) string { return image(d, "rel", `mirror = "http://archive.invalid/debian"`) },
			`Could not build the image of rel for \w+ from http://archive.invalid/debian`},
		"a release that is not there": {func(d string) string { return image(d, "nosuchrelease", "") },
			`There is no release nosuchrelease at the archives that apt on this machine uses(.|\n)*no such release`},
		"a release with a dash": {func(d string) string { return image(d, "focal-updates", "") }, `queue names are split on dashes`},
		"images in two folders": {func(d string) string {
			return providerBlock("acc", d) + `
resource "autopkgtest_worker" "test" {
  broker_credentials_file = "/x/broker"
  store_credentials_file  = "/x/store"
  images                  = ["/a/rel-amd64.tar.zst", "/b/rel-arm64.tar.zst"]
  releases                = ["rel"]
  architectures           = ["amd64"]
}
`
		}, `these are in /a and in /b`},
		"a test that outlives the broker's patience": {func(d string) string {
			return providerBlock("acc", d) + `
resource "autopkgtest_worker" "test" {
  broker_credentials_file = "/x/broker"
  store_credentials_file  = "/x/store"
  images                  = ["/a/rel-amd64.tar.zst"]
  releases                = ["rel"]
  architectures           = ["amd64"]
  timeout                 = "20h"
  delivery_timeout        = "48h"
}
`
		}, `a request may be held for 72h15m(.|\n)*after 48h the broker takes it away(.|\n)*raise the broker's delivery timeout`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newStack(t)
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration(directory), ExpectError: words(tc.want),
			}}})
			if _, err := os.Lstat(directory); err == nil {
				d, err := host.Open(directory, "acc")
				t.Errorf("a failed creation left the folder %s behind: %v, %v", directory, d, err)
			}
			if pids := processes(directory, ""); len(pids) > 0 {
				t.Errorf("a failed creation left the processes %v behind", pids)
			}
		})
	}
}

// TestAccSecondStack: a folder has one stack. The second one is told whose it is, and the first does not notice.
func TestAccSecondStack(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	makeStack(t, directory)
	before := listing(t, directory)
	for _, kind := range []string{"rabbitmq_server", "swift_server"} {
		resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
			Config: providerBlock("other", directory) + fmt.Sprintf("resource \"autopkgtest_%s\" \"test\" {}\n", kind),
			ExpectError: words(`the stack "other" cannot have the folder ` + directory + `: it belongs to the stack "acc"(.|\n)*` +
				`Give each stack a folder of its own`),
		}}})
	}
	if after := listing(t, directory); after != before {
		t.Errorf("the second stack has touched the first one's folder:\n%s\nbefore:\n%s", after, before)
	}
	if pids := processes(directory, ""); len(pids) > 0 {
		t.Errorf("a refused creation left the processes %v behind", pids)
	}
}

// listing is all there is below a folder, with modes, sizes and times.
func listing(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			fmt.Fprintln(&all, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
