//go:build acceptance

package provider

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// cloudFiles is a folder with what clouds are reached with: two RC files, one of which asks, and a clouds.yaml.
type cloudFiles struct {
	folder  string
	secrets []config.Secret
}

func newCloudFiles(t *testing.T) *cloudFiles {
	t.Helper()
	f := &cloudFiles{folder: t.TempDir(), secrets: []config.Secret{config.NewSecret(), config.NewSecret(), config.NewSecret()}}
	f.write(t, "lcy", 0o600, "export OS_AUTH_URL=http://10.24.0.132:5000/v2.0/ OS_USERNAME=migration OS_TENANT_NAME=migration_project\n"+
		"export OS_PASSWORD='"+f.secrets[0].Reveal()+"' OS_REGION_NAME=lcy01\n")
	f.write(t, "lgw", 0o644, "export OS_AUTH_URL=https://keystone.lgw.example:5000/v3 OS_PROJECT_NAME=scalingstack OS_USERNAME=scaling\n"+
		"read -sr OS_PASSWORD_INPUT\nexport OS_PASSWORD=$OS_PASSWORD_INPUT OS_REGION_NAME=lgw01\n")
	f.write(t, "clouds.yaml", 0o644, "clouds:\n  c:\n    auth: {auth_url: 'https://k.example', username: u, project_name: p}\n    regions: [a, b]\n")
	f.write(t, "secure.yaml", 0o600, "clouds: {c: {auth: {password: "+f.secrets[1].Reveal()+"}}}\n")
	return f
}

func (f *cloudFiles) write(t *testing.T, name string, mode os.FileMode, content string) {
	t.Helper()
	path := filepath.Join(f.folder, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// in puts the folder in the place of FOLDER.
func (f *cloudFiles) in(configuration string) string {
	return strings.ReplaceAll(configuration, "FOLDER", f.folder)
}

// hidden checks that a state has none of the secrets.
func (f *cloudFiles) hidden(state *terraform.State) error {
	encoded, err := json.Marshal(state)
	if err != nil {
		return err
	}
	for _, secret := range f.secrets {
		if strings.Contains(string(encoded), secret.Reveal()) {
			return fmt.Errorf("a secret is in the state")
		}
	}
	return nil
}

func TestAccCloudRC(t *testing.T) {
	t.Parallel()
	f := newCloudFiles(t)
	const address = "data.autopkgtest_cloud_rc.test"
	at := func(region, key string) tfjsonpath.Path {
		return tfjsonpath.New("regions").AtMapKey(region).AtMapKey(key)
	}
	text := func(region, key, want string) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(address, at(region, key), knownvalue.StringExact(want))
	}
	truth := func(region, key string, want bool) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(address, at(region, key), knownvalue.Bool(want))
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: f.in(`
data "autopkgtest_cloud_rc" "test" { files = ["FOLDER/lcy", "FOLDER/lgw"] }
output "parsed" { value = provider::autopkgtest::parse_rc(file("FOLDER/lcy"), "lcy") }
`),
			Check: f.hidden,
			ConfigStateChecks: []statecheck.StateCheck{
				text("lcy01", "auth_url", "http://10.24.0.132:5000/v3"), text("lcy01", "given_auth_url", "http://10.24.0.132:5000/v2.0/"),
				text("lcy01", "project_name", "migration_project"), text("lcy01", "source", f.folder+"/lcy"),
				truth("lcy01", "needs_password", false), truth("lgw01", "needs_password", true), text("lgw01", "username", "scaling"),
				statecheck.ExpectKnownValue(address, at("lgw01", "ca_file"), knownvalue.Null()),
				statecheck.ExpectKnownOutputValueAtPath("parsed", tfjsonpath.New("username"), knownvalue.StringExact("migration")),
			},
		},
		{
			Config: f.in(`
data "autopkgtest_cloud_rc" "test" {
  files       = ["FOLDER/lcy"]
  clouds_file = "FOLDER/clouds.yaml"
  cloud       = "c"
}
`),
			Check: f.hidden,
			ConfigStateChecks: []statecheck.StateCheck{
				text("lcy01", "username", "migration"), text("a", "username", "u"), text("b", "auth_url", "https://k.example/v3"),
				truth("b", "needs_password", false), text("b", "source", f.folder+"/clouds.yaml, cloud c"),
			},
		},
	}})
}

// TestAccCloudRCEnvironment is alone, since an environment is the whole process's.
func TestAccCloudRCEnvironment(t *testing.T) {
	f := newCloudFiles(t)
	t.Setenv("OS_CLIENT_CONFIG_FILE", filepath.Join(f.folder, "clouds.yaml"))
	t.Setenv("OS_CLOUD", "c")
	t.Setenv("OS_REGION_NAME", "b")
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
		Config: `data "autopkgtest_cloud_rc" "test" {}`,
		Check:  f.hidden,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("data.autopkgtest_cloud_rc.test", tfjsonpath.New("regions"), knownvalue.MapSizeExact(1)),
			statecheck.ExpectKnownValue("data.autopkgtest_cloud_rc.test", tfjsonpath.New("regions").AtMapKey("b").AtMapKey("username"),
				knownvalue.StringExact("u")),
		},
	}}})
}

// TestAccCloudRCRefuses: bad input is said with file, line and way out, and never with the password.
func TestAccCloudRCRefuses(t *testing.T) {
	t.Parallel()
	f := newCloudFiles(t)
	required := "export OS_AUTH_URL=https://k.example/v3 OS_USERNAME=u OS_PROJECT_NAME=p OS_REGION_NAME=r\n"
	f.write(t, "command", 0o600, required+"export OS_PASSWORD=$(pass show cloud)\n")
	f.write(t, "readable", 0o644, required+"export OS_PASSWORD="+f.secrets[2].Reveal()+"\n")
	f.write(t, "again", 0o600, required+"OS_REGION_NAME=lcy01\n")
	f.write(t, "nameless", 0o600, required+"unset OS_REGION_NAME\n")
	f.write(t, "authority", 0o600, required+"OS_CACERT="+f.folder+"/gone.pem\n")
	f.write(t, "empty", 0o600, required+"OS_CACERT="+f.folder+"/lgw\n")
	var steps []resource.TestStep
	for _, test := range []struct{ attributes, want string }{
		{`files = ["FOLDER/command"]`, `command:2: OS_PASSWORD depends on what a command prints, \$\(\.\.\.\): write the value itself`},
		{`files = ["FOLDER/readable"]`, `has mode 0644, want 0600`},
		{`files = ["FOLDER/lcy", "FOLDER/again"]`, `it names the region lcy01, and so does \S+/lcy`},
		{`files = ["FOLDER/nameless"]`, `it names no region`},
		{`files = ["FOLDER/authority"]`, `authority cannot be read: open \S+/gone.pem`},
		{`files = ["FOLDER/empty"]`, `lgw holds no certificate`},
		{`files = ["FOLDER/gone"]`, `open \S+/gone: no such file`},
		{`files = ["lcy"]`, `is relative`},
		{`files = []`, `at least 1`},
		{`clouds_file = "clouds.yaml"`, `is relative`},
		{`clouds_file = "FOLDER/clouds.yaml"` + "\n" + `cloud = "d"`, `there is no cloud d: name one of c`},
	} {
		for _, kind := range []string{"data", "ephemeral"} {
			steps = append(steps, resource.TestStep{
				Config:      f.in(kind + ` "autopkgtest_cloud_rc" "test" {` + "\n" + test.attributes + "\n}\n"),
				ExpectError: words(test.want),
			})
		}
	}
	steps = append(steps,
		resource.TestStep{
			Config:      f.in(`output "x" { value = provider::autopkgtest::parse_rc(file("FOLDER/command"), "command") }`),
			ExpectError: words(`command:2: OS_PASSWORD depends on what a command prints`),
		},
		resource.TestStep{
			Config:      f.in(`ephemeral "autopkgtest_cloud_rc" "test" { files = ["FOLDER/lgw"] }`),
			ExpectError: words(`lgw:2: OS_PASSWORD is asked for at the terminal: hand the password over as an argument`),
		},
		resource.TestStep{
			Config: f.in(`
ephemeral "autopkgtest_cloud_rc" "test" {
  files     = ["FOLDER/lgw"]
  passwords = { lgw02 = "x" }
}
`),
			ExpectError: words(`there is no region lgw02: the regions are lgw01`),
		},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

func TestAccEphemeralCloudRC(t *testing.T) {
	t.Parallel()
	f := newCloudFiles(t)
	with := map[string]func() (tfprotov6.ProviderServer, error){
		"autopkgtest": factories["autopkgtest"], "echo": echoprovider.NewProviderServer(),
	}
	f.write(t, "answer", 0o600, f.secrets[2].Reveal())
	ephemeral := f.in(`
ephemeral "autopkgtest_cloud_rc" "test" {
  files       = ["FOLDER/lcy", "FOLDER/lgw"]
  clouds_file = "FOLDER/clouds.yaml"
  password    = file("FOLDER/answer")
}
`)
	at := func(region string) tfjsonpath.Path {
		return tfjsonpath.New("data").AtMapKey("regions").AtMapKey(region).AtMapKey("password")
	}
	same := func(secret config.Secret) knownvalue.Check {
		return knownvalue.StringFunc(func(got string) error {
			if got != secret.Reveal() {
				return fmt.Errorf("another password than the source has") // neither is shown
			}
			return nil
		})
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: with, Steps: []resource.TestStep{
		{Config: ephemeral, Check: f.hidden},
		{
			Config: ephemeral + `
provider "echo" {
  data = ephemeral.autopkgtest_cloud_rc.test
}

resource "echo" "test" {}
`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("echo.test", at("lcy01"), same(f.secrets[0])),
				statecheck.ExpectKnownValue("echo.test", at("a"), same(f.secrets[1])),
				statecheck.ExpectKnownValue("echo.test", at("b"), same(f.secrets[1])),
				statecheck.ExpectKnownValue("echo.test", at("lgw01"), same(f.secrets[2])),
			},
		},
	}})
}
