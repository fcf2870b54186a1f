package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestWorkerConfFunction: what the file says is returned without its passwords, and what is wrong in it has its line.
func TestWorkerConfFunction(t *testing.T) {
	t.Parallel()
	const novaopts = "--keyname=testbed --net-id=net_tests --security-groups=default,adt --mirror=http://archive.example/ubuntu"
	for name, tc := range map[string]struct {
		content   string
		want      map[string]string // in Terraform's form
		wantError string
	}{
		"2015": {
			"[amqp]\nhost =\nuser =\npassword\n[swift]\nusername = them\npassword = Secret1\n[autopkgtest]\nreleases = trusty vivid\n" +
				"architectures = i386 amd64\nbackend = nova\n[nova]\nimage_pattern = ubuntu/.*\nflavor = m1.small\nnovaopts = " + novaopts + "\n",
			map[string]string{
				"backend": `"nova"`, "releases": `["trusty","vivid"]`, "architectures": `["i386","amd64"]`, "flavor": `"m1.small"`,
				"big_flavor": `"m1.small"`, "key_name": `"testbed"`, "network": `"net_tests"`, "groups": `["default","adt"]`,
				"mirror": `"http://archive.example/ubuntu"`, "image_pattern": `"ubuntu/.*"`, "contexts": `["normal","huge","ppa","upstream"]`,
			}, "",
		},
		"short": {
			"[autopkgtest]\ncontexts = ppa\n",
			map[string]string{
				"backend": `"unshare"`, "releases": "<null>", "architectures": "<null>", "flavor": "<null>", "big_flavor": "<null>",
				"key_name": "<null>", "network": "<null>", "groups": "<null>", "mirror": "<null>", "image_pattern": "<null>", "contexts": `["ppa"]`,
			}, "",
		},
		"unknown option": {"[nova]\nnovaopts = --net=n\n", nil, "theirs.conf:2: [nova] novaopts: unknown flag"},
		"unknown key":    {"[nova]\n\nflavour = m1\n", nil, "theirs.conf:3: unknown key"},
	} {
		resp := function.RunResponse{Result: function.NewResultData(types.ObjectUnknown(confTypes()))}
		newWorkerConf().Run(t.Context(), function.RunRequest{
			Arguments: function.NewArgumentsData([]attr.Value{types.StringValue(tc.content), types.StringValue("theirs.conf")}),
		}, &resp)
		if tc.wantError != "" {
			if resp.Error == nil || !strings.Contains(resp.Error.Text, tc.wantError) {
				t.Errorf("%s: %v does not say «%s»", name, resp.Error, tc.wantError)
			}
			continue
		}
		if resp.Error != nil {
			t.Errorf("%s: %v", name, resp.Error)
			continue
		}
		got := map[string]string{}
		for key, value := range resp.Result.Value().(types.Object).Attributes() {
			got[key] = value.String()
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	text := func(s string) attr.Value { return types.StringValue(s) }
	list := func(texts ...string) attr.Value {
		values := make([]attr.Value, len(texts))
		for i, s := range texts {
			values[i] = text(s)
		}
		return types.ListValueMust(types.StringType, values)
	}
	for name, tc := range map[string]struct {
		function  function.Function
		arguments []attr.Value
		want      string
		wantError string
		argument  int64
	}{
		"queue":           {newQueueName(), []attr.Value{text("normal"), text("noble"), text("amd64")}, "debci-noble-amd64", "", 0},
		"queue, empty":    {newQueueName(), []attr.Value{text(""), text("noble"), text("amd64")}, "debci-noble-amd64", "", 0},
		"queue, ppa":      {newQueueName(), []attr.Value{text("ppa"), text("noble"), text("arm64")}, "debci-ppa-noble-arm64", "", 0},
		"unknown context": {newQueueName(), []attr.Value{text("big"), text("noble"), text("amd64")}, "", "normal, huge, ppa, upstream", 0},
		"release's dash":  {newQueueName(), []attr.Value{text("ppa"), text("no-ble"), text("amd64")}, "", "split on dashes", 1},
		"architecture":    {newQueueName(), []attr.Value{text("ppa"), text("noble"), text("x86-64")}, "", "split on dashes", 2},

		"prefix":         {newResultPrefix(), []attr.Value{text("gzip")}, "g", "", 0},
		"lib prefix":     {newResultPrefix(), []attr.Value{text("libpng1.6")}, "libp", "", 0},
		"empty package":  {newResultPrefix(), []attr.Value{text("")}, "", "no package", 0},
		"bad package":    {newResultPrefix(), []attr.Value{text("../etc")}, "", "not a source package's name", 0},
		"container":      {newContainerName(), []attr.Value{text("noble"), list(), types.BoolValue(false)}, "autopkgtest-noble", "", 0},
		"last PPA":       {newContainerName(), []attr.Value{text("noble"), list("a/b", "joe/foo"), types.BoolValue(false)}, "autopkgtest-noble-joe-foo", "", 0},
		"private":        {newContainerName(), []attr.Value{text("noble"), list(), types.BoolValue(true)}, "private-autopkgtest-noble", "", 0},
		"container dash": {newContainerName(), []attr.Value{text("a-b"), list(), types.BoolValue(true)}, "", "split on dashes", 0},
		"bad PPA":        {newContainerName(), []attr.Value{text("noble"), list("nothing"), types.BoolValue(true)}, "", "OWNER/NAME", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := function.RunRequest{Arguments: function.NewArgumentsData(tc.arguments)}
			resp := function.RunResponse{Result: function.NewResultData(types.StringUnknown())}
			tc.function.Run(context.Background(), req, &resp)
			if tc.wantError != "" {
				if resp.Error == nil || !strings.Contains(resp.Error.Text, tc.wantError) {
					t.Fatalf("got %v, want an error with %q", resp.Error, tc.wantError)
				}
				if resp.Error.FunctionArgument == nil || *resp.Error.FunctionArgument != tc.argument {
					t.Errorf("the error points at argument %v, want %d", resp.Error.FunctionArgument, tc.argument)
				}
				return
			}
			if resp.Error != nil {
				t.Fatal(resp.Error)
			}
			if got := resp.Result.Value(); !got.Equal(types.StringValue(tc.want)) {
				t.Errorf("got %s, want %q", got, tc.want)
			}
		})
	}
}
