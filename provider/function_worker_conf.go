package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

var _ function.Function = (*workerConfFunction)(nil)

type workerConfFunction struct{}

func newWorkerConf() function.Function { return &workerConfFunction{} }

// confField is an attribute of what worker.conf says. None is a secret.
type confField struct {
	name, text string
	of         func(config.Worker, config.NovaOptions) attr.Value
}

func confText(name, text string, of func(config.Worker, config.NovaOptions) string) confField {
	return confField{name, text, func(w config.Worker, n config.NovaOptions) attr.Value { return textOrNull(of(w, n)) }}
}

func confList(name, text string, of func(config.Worker, config.NovaOptions) []string) confField {
	return confField{name, text, func(w config.Worker, n config.NovaOptions) attr.Value { return stringList(of(w, n)) }}
}

var confFields = []confField{
	confText("backend", "Backend of the testbeds.", func(w config.Worker, _ config.NovaOptions) string { return w.Backend }),
	confList("releases", "Releases.", func(w config.Worker, _ config.NovaOptions) []string { return w.Releases }),
	confList("architectures", "Architectures.", func(w config.Worker, _ config.NovaOptions) []string { return w.Architectures }),
	confList("contexts", "Contexts of requests, as `queue_name` takes them; all where the file says nothing.",
		func(w config.Worker, _ config.NovaOptions) []string { return contextWords(w.Contexts) }),
	confText("image_pattern", "Pattern of the names of images.",
		func(w config.Worker, _ config.NovaOptions) string { return w.Nova.ImagePattern }),
	confText("flavor", "Flavor of testbeds.", func(w config.Worker, _ config.NovaOptions) string { return w.Nova.Flavor }),
	confText("big_flavor", "Flavor of those for big packages.",
		func(w config.Worker, _ config.NovaOptions) string { return w.Nova.BigFlavor }),
	confText("key_name", "Key pair of testbeds, `--keyname` of `novaopts`.",
		func(_ config.Worker, n config.NovaOptions) string { return n.KeyName }),
	confText("network", "Their network, `--net-id`.", func(_ config.Worker, n config.NovaOptions) string { return n.Network }),
	confList("groups", "Their security groups, `--security-groups`.",
		func(_ config.Worker, n config.NovaOptions) []string { return n.Groups }),
	confText("mirror", "Archive that they use, `--mirror`.", func(_ config.Worker, n config.NovaOptions) string { return n.Mirror }),
}

func confTypes() map[string]attr.Type {
	kinds := map[string]attr.Type{}
	for _, f := range confFields {
		kinds[f.name] = f.of(config.Worker{}, config.NovaOptions{}).Type(context.Background())
	}
	return kinds
}

// Metadata implements function.Function.
func (f *workerConfFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "worker_conf"
}

// Definition implements function.Function.
func (f *workerConfFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	text := "Reads a worker's `worker.conf`, in any of its forms, and returns what the rest of a deployment goes by: which queues there " +
		"have to be, and what testbeds in a cloud need. What cannot be in such a file is an error with its line, and accounts and " +
		"passwords are not returned. The object has these attributes:\n"
	for _, field := range confFields {
		text += "\n- `" + field.name + "`: " + field.text
	}
	resp.Definition = function.Definition{
		Summary:             "What a worker.conf says of queues and testbeds",
		MarkdownDescription: text + "\n\nWhat the file does not say, and has no default, is null.",
		Parameters: []function.Parameter{
			function.StringParameter{
				Name: "content",
				MarkdownDescription: "The file's text, `file(PATH)`. Write that here and not into a local value: a file of 2015 has " +
					"passwords, and Terraform would show it beside an error, unless it is made `sensitive`.",
			},
			function.StringParameter{Name: "name", MarkdownDescription: "What to call the file in messages."},
		},
		Return: function.ObjectReturn{AttributeTypes: confTypes()},
	}
}

// Run implements function.Function.
func (f *workerConfFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var content, name string
	resp.Error = req.Arguments.Get(ctx, &content, &name)
	if resp.Error != nil {
		return
	}
	worker, err := config.ParseGiven(name, []byte(content))
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	options, err := config.ParseNovaOptions(worker.Nova.Options)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	found := values{}
	for _, field := range confFields {
		found[field.name] = field.of(worker, options)
	}
	resp.Error = resp.Result.Set(ctx, object(confTypes(), found))
}
