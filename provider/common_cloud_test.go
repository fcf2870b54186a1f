//go:build !acceptance && !machine

package provider

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

const lcyRC = `export OS_AUTH_URL=http://10.24.0.132:5000/v2.0/ OS_USERNAME=migration OS_TENANT_NAME="proposed migration"
export OS_PASSWORD='hunter2 $HOME' OS_REGION_NAME=lcy01
`

// TestSecretsAreEphemeral: what goes into the state has no attribute for a secret, and no secret in any of them.
func TestSecretsAreEphemeral(t *testing.T) {
	t.Parallel()
	c := cloudrc.Cloud{Password: "hunter2", Token: "hunter2", Credential: cloudrc.Credential{Secret: "hunter2"}}
	if text := cloudObject(openFields, c).String(); strings.Contains(text, "hunter2") {
		t.Errorf("a secret would be in the state: %s", text)
	}
	if got := strings.Count(cloudObject(allFields, c).String(), "hunter2"); got != 3 {
		t.Errorf("%d secrets in the ephemeral value, want 3", got)
	}
	for _, f := range openFields {
		if f.secret || f.text == "" {
			t.Errorf("%s: %q", f.name, f.text)
		}
	}
}

func TestParseRC(t *testing.T) {
	t.Parallel()
	run := func(content string) (types.Object, *function.FuncError) {
		req := function.RunRequest{Arguments: function.NewArgumentsData([]attr.Value{types.StringValue(content), types.StringValue("novarc")})}
		resp := function.RunResponse{Result: function.NewResultData(types.ObjectUnknown(cloudTypes(openFields)))}
		newParseRC().Run(context.Background(), req, &resp)
		return resp.Result.Value().(types.Object), resp.Error
	}
	got, failed := run(lcyRC)
	if failed != nil {
		t.Fatal(failed)
	}
	for name, want := range map[string]attr.Value{
		"source": types.StringValue("novarc"), "region": types.StringValue("lcy01"), "auth_url": types.StringValue("http://10.24.0.132:5000/v3"),
		"given_auth_url": types.StringValue("http://10.24.0.132:5000/v2.0/"), "interface": types.StringValue("public"),
		"method": types.StringValue("password"), "username": types.StringValue("migration"), "user_id": types.StringNull(),
		"user_domain_id": types.StringValue("default"), "project_name": types.StringValue("proposed migration"),
		"insecure": types.BoolValue(false), "needs_password": types.BoolValue(false), "ca_file": types.StringNull(),
	} {
		if value := got.Attributes()[name]; !value.Equal(want) {
			t.Errorf("%s is %s, want %s", name, value, want)
		}
	}
	if strings.Contains(got.String(), "hunter2") {
		t.Error("the result has the password")
	}
	_, failed = run(lcyRC + "OS_USERNAME=$(whoami)\n")
	if failed == nil || failed.FunctionArgument == nil || *failed.FunctionArgument != 0 ||
		!strings.Contains(failed.Text, "novarc:3: OS_USERNAME depends on what a command prints") {
		t.Errorf("%v", failed)
	}
}

// TestCloudSourcesWarn: what the source wants is done, and said.
func TestCloudSourcesWarn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "novarc")
	s := &settings{files: terraformsFiles{}}
	read := func(content string) diag.Diagnostics {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var diags diag.Diagnostics
		sources := cloudSources{files: stringList([]string{file}), cloud: types.StringNull(), cloudsFile: types.StringNull()}
		if _, err := sources.read(context.Background(), s, &diags); err != nil {
			t.Fatal(err)
		}
		return diags
	}
	if diags := read(lcyRC); len(diags) != 0 {
		t.Errorf("%v", diags)
	}
	if diags := read(lcyRC + "OS_INSECURE=1"); diags.WarningsCount() != 1 || !strings.Contains(diags[0].Detail(), "region lcy01") {
		t.Errorf("%v", diags)
	}
}

// TestPasswordsAreAnswers: one for all that ask, or one for a region.
func TestPasswordsAreAnswers(t *testing.T) {
	t.Parallel()
	asks, err := cloudrc.ParseRC("lgw", []byte(strings.ReplaceAll(lcyRC, "OS_PASSWORD=", "OS_NO_PASSWORD=")), nil)
	if err != nil {
		t.Fatal(err)
	}
	has, err := cloudrc.ParseRC("lcy", []byte(lcyRC), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(texts map[string]string) types.Map {
		elements := values{}
		for name, text := range texts {
			elements[name] = types.StringValue(text)
		}
		return types.MapValueMust(types.StringType, elements)
	}
	for name, test := range map[string]struct {
		model    ephemeralCloudRCModel
		password string
		problem  string
		warnings int
	}{
		"for all":          {ephemeralCloudRCModel{Password: types.StringValue("p")}, "p", "", 0},
		"for one":          {ephemeralCloudRCModel{Passwords: of(map[string]string{"lgw01": "q"})}, "q", "", 0},
		"for one and all":  {ephemeralCloudRCModel{Password: types.StringValue("p"), Passwords: of(map[string]string{"lgw01": "q"})}, "q", "", 1},
		"none":             {ephemeralCloudRCModel{}, "", "region lgw01: lgw: OS_PASSWORD is missing", 0},
		"empty":            {ephemeralCloudRCModel{Passwords: of(map[string]string{"lgw01": ""})}, "", "OS_PASSWORD is missing", 0},
		"unknown region":   {ephemeralCloudRCModel{Passwords: of(map[string]string{"lgw02": "q"})}, "", "there is no region lgw02: the regions are lcy01, lgw01", 0},
		"where one is":     {ephemeralCloudRCModel{Passwords: of(map[string]string{"lgw01": "q", "lcy01": "r"})}, "q", "", 1},
		"all and where is": {ephemeralCloudRCModel{Password: types.StringValue("p"), Passwords: of(map[string]string{"lcy01": "r"})}, "p", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diags diag.Diagnostics
			regions := cloudrc.Regions{"lgw01": asks, "lcy01": has}
			err := test.model.answer(regions, &diags)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("got %v, want %s", err, test.problem)
				}
				return
			}
			if err != nil || regions["lgw01"].Password.Reveal() != test.password || regions["lcy01"].Password != has.Password ||
				diags.WarningsCount() != test.warnings {
				t.Errorf("%v, %v", err, diags)
			}
		})
	}
}
