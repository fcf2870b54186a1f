package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// lookLimit bounds a look at one thing: a plan must not hang on a service that does.
const lookLimit = 20 * time.Second

// managed is Terraform's life cycle of a kind.
type managed[M any] struct {
	kind[M]
	// mutableIdentity is for what lives in a broker or a store: their addresses may change, and it is still the same.
	mutableIdentity bool
	settings        *settings
}

// Metadata implements resource.Resource.
func (r *managed[M]) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = typeName + "_" + r.typeName()
	resp.ResourceBehavior.MutableIdentity = r.mutableIdentity
}

// Schema implements resource.Resource.
func (r *managed[M]) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = r.schema(ctx)
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *managed[M]) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest,
	resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identitySchema(r.identity(new(M)))
}

// Configure implements resource.ResourceWithConfigure.
func (r *managed[M]) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	if req.ProviderData == nil {
		return // validation comes before the provider is configured
	}
	s, ok := req.ProviderData.(*settings)
	if !ok {
		resp.Diagnostics.AddError("The provider handed over the wrong settings", fmt.Sprintf("%T", req.ProviderData))
		return
	}
	r.settings = s
}

// Create implements resource.Resource. A failure leaves no state: a tainted resource would be destroyed by the next apply,
// whatever it holds, while one that is not in the state is adopted. An interruption is no failure: what was begun goes
// into the state as it is, so that it can be finished, or destroyed.
func (r *managed[M]) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var model M
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	limit, diags := r.base(&model).Timeouts.Create(ctx, r.patience(&model))
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := r.within(ctx, &model, limit)
	defer cancel()
	c := &call[M]{settings: r.settings, model: &model, memory: resp.Private, diags: &resp.Diagnostics}
	err := r.ensured(ctx, c, "create", limit)
	switch {
	case interrupted(ctx, err):
		r.base(&model).Status = types.StringValue("its creation was interrupted")
		resp.Diagnostics.AddWarning("Interrupted: "+r.describe(&model)+" is not finished",
			"What was begun is in the state. Apply again to finish it, or destroy it.")
	case err != nil:
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
	resp.Diagnostics.Append(nullUnknown(&resp.State)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, r.identity(&model))...)
}

// interrupted says whether a call was ended from outside. A timeout of ours is a failure like others.
func interrupted(ctx context.Context, err error) bool {
	return err != nil && errors.Is(ctx.Err(), context.Canceled)
}

// nullUnknown leaves nothing unknown in the state of what is only half made: Terraform would not take it.
func nullUnknown(state *tfsdk.State) diag.Diagnostics {
	var diags diag.Diagnostics
	known, err := tftypes.Transform(state.Raw, func(_ *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if !v.IsKnown() {
			return tftypes.NewValue(v.Type(), nil), nil
		}
		return v, nil
	})
	if err != nil {
		diags.AddError("Could not write the state", err.Error())
		return diags
	}
	state.Raw = known
	return diags
}

// Read implements resource.Resource.
func (r *managed[M]) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var model M
	resp.Diagnostics.Append(req.State.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	status := &r.base(&model).Status
	c := &call[M]{settings: r.settings, model: &model, memory: resp.Private, diags: &resp.Diagnostics}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	found, err := r.inspect(ctx, c)
	if err != nil {
		explain(&resp.Diagnostics, "Could not look at "+r.describe(&model), err)
		return
	}
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, r.identity(&model))...)
	switch {
	case found.Absent && status.IsNull():
		resp.State.RemoveResource(ctx) // an import of what is not there
		return
	case found.Unseen != "":
		resp.Diagnostics.AddWarning("Part of the stack could not be looked at", found.Unseen+"\n\nThe state keeps "+
			r.describe(&model)+" as it was seen last.")
	case found.Problem != "":
		*status = types.StringValue(found.Problem)
	default:
		*status = types.StringValue(r.well())
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *managed[M]) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.settings == nil {
		return
	}
	var state *M
	if !req.State.Raw.IsNull() {
		state = new(M)
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if req.Plan.Raw.IsNull() {
		if state != nil && !resp.Diagnostics.HasError() {
			markRemoval(ctx, resp.Private)
			r.planRemoval(ctx, &call[M]{settings: r.settings, model: state, memory: resp.Private, diags: &resp.Diagnostics})
		}
		return
	}
	var plan, config M
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	r.base(&plan).Status = types.StringUnknown() // a creation may be interrupted
	if state != nil {
		r.base(&plan).Status = types.StringValue(r.well())
	}
	p := &planning[M]{
		settings: r.settings, config: &config, model: &plan, state: state, memory: resp.Private, diags: &resp.Diagnostics,
		replace: func(where path.Path) { resp.RequiresReplace.Append(where) },
	}
	r.plan(ctx, p)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// Update implements resource.Resource.
func (r *managed[M]) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var model, prior M
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &prior)...)
	if resp.Diagnostics.HasError() {
		return
	}
	limit, diags := r.base(&model).Timeouts.Update(ctx, r.patience(&model))
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := r.within(ctx, &model, limit)
	defer cancel()
	c := &call[M]{settings: r.settings, model: &model, prior: &prior, memory: resp.Private, diags: &resp.Diagnostics}
	if r.ensured(ctx, c, "update", limit) != nil {
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, r.identity(&model))...)
}

// within gives an apply its time. Each wait in it has as much more of it as the whole has more than it would have by itself.
func (r *managed[M]) within(ctx context.Context, model *M, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(host.WithPatience(ctx, float64(limit)/float64(r.patience(model))), limit)
}

// Delete implements resource.Resource.
func (r *managed[M]) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var model M
	resp.Diagnostics.Append(req.State.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	limit, diags := r.base(&model).Timeouts.Delete(ctx, r.patience(&model))
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := &call[M]{settings: r.settings, model: &model, memory: resp.Private, diags: &resp.Diagnostics}
	if err := r.remove(ctx, c); err != nil {
		explainMore(&resp.Diagnostics, "Could not remove "+r.describe(&model), err, overdue(ctx, "delete", limit))
	}
}

// ImportState implements resource.ResourceWithImportState.
func (r *managed[M]) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	kind, ok := r.kind.(importable[M])
	if !ok {
		resp.Diagnostics.AddError("autopkgtest_"+r.typeName()+" is not imported but adopted",
			"Write the resource and apply: it takes over what is there, with its passwords and contents.")
		return
	}
	identity := r.identity(new(M))
	values, err := importedIdentity(ctx, req, identity)
	if err != nil {
		explain(&resp.Diagnostics, "Cannot import autopkgtest_"+r.typeName(), err)
		return
	}
	// What identifies a thing are attributes of it, too. Setting them makes a state whose other attributes are null.
	for i, v := range identity {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(v.name), values[i])...)
	}
	if r.settings.self != nil {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(forward.Attribute), hostOf(*r.settings.self))...)
	}
	var model M
	resp.Diagnostics.Append(resp.State.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := &call[M]{settings: r.settings, model: &model, memory: resp.Private, diags: &resp.Diagnostics}
	if err := kind.imported(ctx, c); err != nil {
		explain(&resp.Diagnostics, "Cannot import autopkgtest_"+r.typeName(), err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, r.identity(&model))...)
}

// ensured calls ensure and explains its failure.
func (r *managed[M]) ensured(ctx context.Context, c *call[M], verb string, limit time.Duration) error {
	tflog.Debug(ctx, verb, map[string]any{"resource": r.describe(c.model)})
	err := r.ensure(ctx, c)
	if err == nil {
		r.base(c.model).Status = types.StringValue(r.well())
		return nil
	}
	if c.prior == nil && interrupted(ctx, err) {
		return err
	}
	explainMore(c.diags, "Could not "+verb+" "+r.describe(c.model), err, overdue(ctx, verb, limit))
	return err
}

// overdue says of a failure for which all the time was spent, or as much as [host.Directory.WaitReady] takes of it, where it can be
// raised.
func overdue(ctx context.Context, operation string, limit time.Duration) string {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > limit/10 {
		return ""
	}
	return fmt.Sprintf("%s was all the time for it: where it only needs longer, raise timeouts.%s.", config.DurationText(limit), operation)
}

// describe names a thing in messages: its type and what identifies it.
func (r *managed[M]) describe(m *M) string {
	text := "autopkgtest_" + r.typeName()
	for i, v := range r.identity(m) {
		if v.value.IsNull() || v.value.IsUnknown() {
			continue
		}
		separator := ", "
		if i == 0 {
			separator = " "
		}
		text += separator + v.value.ValueString()
	}
	return text
}
