package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

var _ function.Function = (*queueNameFunction)(nil)

type queueNameFunction struct{}

func newQueueName() function.Function { return &queueNameFunction{} }

// Metadata implements function.Function.
func (f *queueNameFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "queue_name"
}

// Definition implements function.Function.
func (f *queueNameFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Name of a request queue",
		MarkdownDescription: "Returns the name of the queue that carries the requests of a context for a release and an " +
			"architecture, `debci-RELEASE-ARCHITECTURE` or `debci-CONTEXT-RELEASE-ARCHITECTURE`. Names that the clients " +
			"could not read back, above all a release with a dash, are errors.",
		Parameters: []function.Parameter{
			function.StringParameter{
				Name:                "context",
				MarkdownDescription: "`normal` (or an empty string), `huge`, `ppa` or `upstream`.",
			},
			function.StringParameter{Name: "release", MarkdownDescription: "Release, one word without a dash."},
			function.StringParameter{Name: "architecture", MarkdownDescription: "Architecture, as Debian calls it."},
		},
		Return: function.StringReturn{},
	}
}

// Run implements function.Function.
func (f *queueNameFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var contextName, release, architecture string
	resp.Error = req.Arguments.Get(ctx, &contextName, &release, &architecture)
	if resp.Error != nil {
		return
	}
	kind, err := contextFromName(contextName)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	if err := checkRelease(release); err != nil {
		resp.Error = function.NewArgumentFuncError(1, err.Error())
		return
	}
	if err := checkArchitecture(architecture); err != nil {
		resp.Error = function.NewArgumentFuncError(2, err.Error())
		return
	}
	queue := request.Queue{Context: kind, Release: release, Architecture: architecture}
	resp.Error = resp.Result.Set(ctx, queue.Name())
}
