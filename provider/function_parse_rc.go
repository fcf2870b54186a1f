package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

var _ function.Function = (*parseRCFunction)(nil)

type parseRCFunction struct{}

func newParseRC() function.Function { return &parseRCFunction{} }

// Metadata implements function.Function.
func (f *parseRCFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "parse_rc"
}

// Definition implements function.Function.
func (f *parseRCFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	text := "Reads an RC file, the form in which dashboards of OpenStack hand out what a project is reached with, and returns all but " +
		"the secrets. The file is read and never run: what only a shell could tell is an error with its line, if it is needed. The " +
		"object has these attributes:\n"
	for _, field := range openFields {
		text += "\n- `" + field.name + "`: " + field.text
	}
	resp.Definition = function.Definition{
		Summary:             "What an RC file says of a cloud",
		MarkdownDescription: text + "\n\nWhat the file does not say is null.",
		Parameters: []function.Parameter{
			function.StringParameter{
				Name: "content",
				MarkdownDescription: "The file's text, `file(PATH)`. Write that here and not into a local value, which Terraform would " +
					"show beside an error, with the password, unless it is made by `sensitive`.",
			},
			function.StringParameter{Name: "name", MarkdownDescription: "What to call the file in messages."},
		},
		Return: function.ObjectReturn{AttributeTypes: cloudTypes(openFields)},
	}
}

// Run implements function.Function.
func (f *parseRCFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var content, name string
	resp.Error = req.Arguments.Get(ctx, &content, &name)
	if resp.Error != nil {
		return
	}
	cloud, err := cloudrc.ParseRC(name, []byte(content), nil)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, cloudObject(openFields, cloud))
}
