package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

var _ function.Function = (*containerNameFunction)(nil)

type containerNameFunction struct{}

func newContainerName() function.Function { return &containerNameFunction{} }

// Metadata implements function.Function.
func (f *containerNameFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "container_name"
}

// Definition implements function.Function.
func (f *containerNameFunction) Definition(_ context.Context, _ function.DefinitionRequest,
	resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Name of a result container",
		MarkdownDescription: "Returns the name of the container that holds the results of a release: `autopkgtest-RELEASE`, " +
			"with the last PPA of the request appended where there is one, and `private-` before it for private runs.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "release", MarkdownDescription: "Release, one word without a dash."},
			function.ListParameter{
				Name: "ppas", ElementType: types.StringType,
				MarkdownDescription: "PPAs of the request as `OWNER/NAME`; an empty list for the distribution's own runs.",
			},
			function.BoolParameter{Name: "private", MarkdownDescription: "Whether the run is private."},
		},
		Return: function.StringReturn{},
	}
}

// Run implements function.Function.
func (f *containerNameFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var (
		release string
		ppas    []string
		private bool
	)
	resp.Error = req.Arguments.Get(ctx, &release, &ppas, &private)
	if resp.Error != nil {
		return
	}
	if err := checkRelease(release); err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	// A container's name carries no password, so the rule that ties one to a private run is met here.
	if err := (request.Request{Package: "x", PPAs: ppas, SwiftUser: "x"}).Validate(); err != nil {
		resp.Error = function.NewArgumentFuncError(1, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, result.Container(release, ppas, private))
}
