package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

var _ function.Function = (*resultPrefixFunction)(nil)

type resultPrefixFunction struct{}

func newResultPrefix() function.Function { return &resultPrefixFunction{} }

// Metadata implements function.Function.
func (f *resultPrefixFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "result_prefix"
}

// Definition implements function.Function.
func (f *resultPrefixFunction) Definition(_ context.Context, _ function.DefinitionRequest,
	resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Folder of a source package",
		MarkdownDescription: "Returns the folder that the results of a source package lie in, as in the Debian archive: its " +
			"first letter, or the first four for `lib...`.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "package", MarkdownDescription: "Name of a source package."},
		},
		Return: function.StringReturn{},
	}
}

// Run implements function.Function.
func (f *resultPrefixFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var pkg string
	resp.Error = req.Arguments.Get(ctx, &pkg)
	if resp.Error != nil {
		return
	}
	if err := (request.Request{Package: pkg}).Validate(); err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, result.Prefix(pkg))
}
