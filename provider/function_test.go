package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

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
