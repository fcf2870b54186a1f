package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// serviceModel is what the models of services have in common: they live in a stack's folder, on some machine.
type serviceModel struct {
	baseModel
	Host      types.Object `tfsdk:"host"`
	Directory types.String `tfsdk:"directory"`
	System    types.Bool   `tfsdk:"system"`
}

func (m *serviceModel) path() string { return m.Directory.ValueString() }

// serviceIdentity is the identity of a service of which a stack has one.
func (m *serviceModel) serviceIdentity() []identityValue {
	value := m.Directory
	if address, ok := m.Host.Attributes()["address"].(types.String); ok && !address.IsUnknown() && !value.IsUnknown() {
		value = types.StringValue(machine.Scheme + address.ValueString() + value.ValueString())
	}
	return []identityValue{{
		name: "directory", value: value,
		description: "Folder of the stack; on another machine `ssh://ADDRESS/FOLDER`, for an import also `ssh://USER@ADDRESS:PORT/FOLDER`.",
	}}
}

// serviceAttributes adds what all services have to the attributes of one.
func serviceAttributes(ctx context.Context, attributes map[string]schema.Attribute) map[string]schema.Attribute {
	attributes[forward.Attribute] = hostAttribute()
	attributes["directory"] = schema.StringAttribute{
		Optional: true, Computed: true,
		MarkdownDescription: "Folder of the stack on the service's machine, an absolute path. Everything that the service makes lies " +
			"below it, but for its units where it is `system`-wide. Default: the provider's `directory`; where that is silent too and " +
			"the service is `system`-wide, `" + systemFolder + "STACK`.",
		Validators: []validator.String{absolutePath()},
		PlanModifiers: []planmodifier.String{
			stringplanmodifier.UseStateForUnknown(), stringplanmodifier.RequiresReplaceIfConfigured(),
		},
	}
	attributes["system"] = systemAttribute()
	return baseAttributes(ctx, running, attributes)
}

func baseAttributes(ctx context.Context, well string, attributes map[string]schema.Attribute) map[string]schema.Attribute {
	attributes["status"] = schema.StringAttribute{
		Computed: true,
		MarkdownDescription: fmt.Sprintf("`%s`, or a sentence that says what is wrong. A plan shows the sentence as a change to "+
			"`%s`, and the apply repairs it.", well, well),
	}
	attributes["timeouts"] = timeouts.Attributes(ctx, timeouts.Opts{Create: true, Update: true, Delete: true})
	return attributes
}

// binaryAttribute is the hash of the service's own program. The plan holds the hash of the one that is to be put in
// place, so a new one shows as a change.
func binaryAttribute(program string) schema.Attribute {
	return schema.StringAttribute{
		Computed: true,
		MarkdownDescription: "SHA-256 of the installed `" + program + "`. When the provider's `binaries` hold another one, the " +
			"plan shows its hash and the apply puts it in place; what runs is drained first.",
	}
}

// planDirectory fills in the provider's default and refuses a service without a folder.
func (s *settings) planDirectory(plan *serviceModel, state *serviceModel, config *serviceModel, diags *diag.Diagnostics) {
	s.planSystem(plan, state, config, diags)
	if config.Directory.IsNull() {
		plan.Directory = s.directory
		if s.directory.IsNull() && plan.System.ValueBool() {
			plan.Directory = types.StringValue(systemFolder + s.stack)
		}
	}
	switch {
	case plan.Directory.IsUnknown():
	case plan.Directory.IsNull():
		diags.AddAttributeError(path.Root("directory"), "No folder for the service",
			"Neither the resource nor the provider has a directory. Set one of them to an absolute path; or, on a server, set "+
				"system = true.")
	case state != nil && config.Directory.IsNull() && !state.Directory.Equal(plan.Directory):
		// The framework asks for the replacement when the configuration names the folder; here the provider's changed.
		diags.AddAttributeError(path.Root("directory"), "The stack's folder cannot be moved",
			fmt.Sprintf("The service is in %s, and the provider's directory is now %s. Either set the resource's own directory, "+
				"which replaces it, or destroy the stack first.", state.path(), plan.path()))
	}
}

// planBinary expects the program that would be installed now.
func (s *settings) planBinary(service *serviceModel, planned *types.String, name string, diags *diag.Diagnostics) {
	if service.elsewhere() {
		*planned = types.StringUnknown()
		return
	}
	found, err := s.binary(name)
	if err != nil {
		explain(diags, "No "+name+" to install", at(path.Root("binary"), err))
		return
	}
	*planned = types.StringValue(found.SHA256)
}

// plannedBinary finds the program that the plan has shown.
func (s *settings) plannedBinary(name string, planned types.String) (host.Binary, error) {
	found, err := s.binary(name)
	if err == nil && !planned.IsUnknown() && planned.ValueString() != found.SHA256 {
		err = &problem{
			title:  "The program " + found.Source + " has changed since the plan was made",
			detail: "Make a new plan.",
		}
	}
	return found, at(path.Root("binary"), err)
}

// undo removes a service that could not be made, if this very call has begun it: there is no state from which a destroy
// could find it. What an interruption has begun stays, and is in the state.
func (c *call[M]) undo(ctx context.Context, d *host.Directory, err error, begun bool, remove func(context.Context) error) error {
	if c.prior != nil || !begun || interrupted(ctx, err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if failed := remove(ctx); failed != nil {
		return errors.Join(err, fmt.Errorf("and what was begun could not be removed again: %w", failed))
	}
	_, failed := d.Release(ctx)
	return errors.Join(err, failed)
}

// undoLimit bounds the removal of what could not be made.
const undoLimit = time.Minute

// began says whether a service is not there yet.
func began(d *host.Directory, service string) bool {
	return !d.Exists("services/" + service + "/service.json")
}

// stackAbsent says whether the whole folder of a stack is gone: then a new one may get other ports.
func (s *settings) stackAbsent(directory string) bool {
	d, err := s.open(directory)
	return d == nil && err == nil
}

// atPort says that an error about a taken port concerns the attribute of that name.
func atPort(err error) error {
	if errors.Is(err, host.ErrPortTaken) {
		return at(path.Root("port"), err)
	}
	return err
}

// notThere turns a missing file into nothing: the Read that follows an import finds that there is no such thing.
func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// definitionFormat is the version of what the definitions in the files service_*.go lay out.
const definitionFormat = 1

// serviceFinding puts an inspection of the host into words.
func serviceFinding(found host.Inspection) finding {
	switch {
	case found.Format != definitionFormat:
		return finding{Problem: "it was put in place by another version"}
	case found.Problem != "":
		text := found.Problem
		if more := len(found.Problems) - 1; more > 0 {
			text += " (and " + plural(more, "more problem", "more problems") + ")"
		}
		return finding{Problem: text}
	}
	return finding{}
}

// absentFolder is the finding for a service whose stack is gone as a whole.
func absentFolder(directory string) finding {
	return finding{Problem: "the stack's folder " + directory + " is gone", Absent: true}
}

// absentService is the finding for a service that is gone from a stack which is there.
func absentService(what, folder string) finding {
	return finding{Problem: "the " + what + "'s folder " + folder + " is gone", Absent: true}
}

// withdraw removes a service, and the stack's folder with the last thing in it.
func (s *settings) withdraw(ctx context.Context, directory string, remove func(*host.Directory) error) error {
	d, err := s.open(directory)
	if err != nil {
		return err
	}
	if d == nil { // never finished, or removed by hand; there may be processes all the same
		return host.Sweep(ctx, directory)
	}
	if err := remove(d); err != nil {
		return err
	}
	_, err = d.Release(ctx)
	if errors.Is(err, host.ErrAbsent) {
		return nil // another resource took the last thing away at the same time
	}
	return err
}
