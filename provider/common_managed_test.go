package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type fakeModel struct {
	baseModel
	Name types.String `tfsdk:"name"`
	Made types.String `tfsdk:"made"`
}

// fakeKind does what its functions say.
type fakeKind struct {
	onEnsure  func(context.Context, *fakeModel) error
	onInspect func(*fakeModel) (finding, error)
}

func (k fakeKind) typeName() string                              { return "fake" }
func (k fakeKind) base(m *fakeModel) *baseModel                  { return &m.baseModel }
func (k fakeKind) well() string                                  { return inPlace }
func (k fakeKind) patience(*fakeModel) time.Duration             { return time.Minute }
func (k fakeKind) plan(context.Context, *planning[fakeModel])    {}
func (k fakeKind) planRemoval(context.Context, *call[fakeModel]) {}
func (k fakeKind) remove(context.Context, *call[fakeModel]) error {
	return nil
}

func (k fakeKind) identity(m *fakeModel) []identityValue {
	return []identityValue{{name: "name", description: "Its name.", value: m.Name}}
}

func (k fakeKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
		"name": schema.StringAttribute{Required: true},
		"made": schema.StringAttribute{Computed: true},
	})}
}

func (k fakeKind) ensure(ctx context.Context, c *call[fakeModel]) error {
	return k.onEnsure(ctx, c.model)
}

func (k fakeKind) inspect(_ context.Context, c *call[fakeModel]) (finding, error) {
	return k.onInspect(c.model)
}

func fake(k fakeKind) *managed[fakeModel] { return &managed[fakeModel]{kind: k, settings: &settings{}} }

var noTimeouts = timeouts.Value{Object: types.ObjectNull(map[string]attr.Type{
	"create": types.StringType, "update": types.StringType, "delete": types.StringType,
})}

// raw makes Terraform's form of a model.
func raw(t *testing.T, status, made types.String) (schema.Schema, tftypes.Value) {
	t.Helper()
	ctx := context.Background()
	s := fakeKind{}.schema(ctx)
	state := tfsdk.State{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(ctx), nil)}
	m := fakeModel{baseModel: baseModel{Status: status, Timeouts: noTimeouts}, Name: types.StringValue("it"), Made: made}
	if diags := state.Set(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
	return s, state.Raw
}

func identityOf(m *managed[fakeModel]) *tfsdk.ResourceIdentity {
	ctx := context.Background()
	var resp resource.IdentitySchemaResponse
	m.IdentitySchema(ctx, resource.IdentitySchemaRequest{}, &resp)
	return &tfsdk.ResourceIdentity{
		Schema: resp.IdentitySchema, Raw: tftypes.NewValue(resp.IdentitySchema.Type().TerraformType(ctx), nil),
	}
}

func create(t *testing.T, ctx context.Context, k fakeKind) *resource.CreateResponse {
	t.Helper()
	m := fake(k)
	s, planned := raw(t, types.StringUnknown(), types.StringUnknown())
	resp := &resource.CreateResponse{
		State:    tfsdk.State{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(ctx), nil)},
		Identity: identityOf(m),
	}
	m.Create(ctx, resource.CreateRequest{Plan: tfsdk.Plan{Schema: s, Raw: planned}}, resp)
	return resp
}

func text(t *testing.T, state tfsdk.State, name string) types.String {
	t.Helper()
	var value types.String
	if diags := state.GetAttribute(context.Background(), path.Root(name), &value); diags.HasError() {
		t.Fatal(diags)
	}
	return value
}

func TestCreate(t *testing.T) {
	t.Parallel()
	t.Run("well", func(t *testing.T) {
		t.Parallel()
		resp := create(t, context.Background(), fakeKind{onEnsure: func(_ context.Context, m *fakeModel) error {
			m.Made = types.StringValue("now")
			return nil
		}})
		if resp.Diagnostics.HasError() || text(t, resp.State, "status").ValueString() != inPlace {
			t.Errorf("got %v, %v", resp.State.Raw, resp.Diagnostics)
		}
		if resp.Identity.Raw.IsFullyNull() {
			t.Error("the identity is missing")
		}
	})
	t.Run("a failure leaves no state", func(t *testing.T) {
		t.Parallel()
		resp := create(t, context.Background(), fakeKind{onEnsure: func(context.Context, *fakeModel) error {
			return errors.New("boom")
		}})
		if !resp.Diagnostics.HasError() || !resp.State.Raw.IsNull() {
			t.Errorf("got %v, %v", resp.State.Raw, resp.Diagnostics)
		}
		if got := resp.Diagnostics[0].Summary(); got != "Could not create autopkgtest_fake it" {
			t.Errorf("the title is %q", got)
		}
	})
	t.Run("an interruption is in the state and is no error", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		resp := create(t, ctx, fakeKind{onEnsure: func(ctx context.Context, _ *fakeModel) error {
			cancel()
			return ctx.Err()
		}})
		if resp.Diagnostics.HasError() || resp.Diagnostics.WarningsCount() != 1 {
			t.Errorf("got %v, want one warning", resp.Diagnostics)
		}
		if got := text(t, resp.State, "status").ValueString(); !strings.Contains(got, "interrupted") {
			t.Errorf("the status is %q", got)
		}
		if got := text(t, resp.State, "made"); !got.IsNull() {
			t.Errorf("what was not made is %s, want null: Terraform takes nothing unknown", got)
		}
	})
	t.Run("a timeout of ours is a failure", func(t *testing.T) {
		t.Parallel()
		resp := create(t, context.Background(), fakeKind{onEnsure: func(context.Context, *fakeModel) error {
			return context.DeadlineExceeded
		}})
		if !resp.Diagnostics.HasError() || !resp.State.Raw.IsNull() {
			t.Errorf("got %v, %v", resp.State.Raw, resp.Diagnostics)
		}
	})
}

// TestWithin: whoever gives an apply a hundred times as long gives so much to each wait in it.
func TestWithin(t *testing.T) {
	t.Parallel()
	ctx, cancel := fake(fakeKind{}).within(t.Context(), &fakeModel{}, 100*time.Minute)
	defer cancel()
	begin := time.Now()
	err := new(host.Directory).WaitReady(ctx, "the toy", "toy", 10*time.Millisecond, func(context.Context) error { return errors.New("no") })
	if took := time.Since(begin); !errors.Is(err, host.ErrNotReady) || took < time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before   types.String
		found    finding
		err      error
		want     string
		warnings int
		removed  bool
		failed   bool
	}{
		"well":                      {before: types.StringValue("broken"), want: inPlace},
		"broken":                    {before: types.StringValue(inPlace), found: finding{Problem: "it is broken"}, want: "it is broken"},
		"gone":                      {before: types.StringValue(inPlace), found: finding{Problem: "it is gone", Absent: true}, want: "it is gone"},
		"not to be seen":            {before: types.StringValue("as before"), found: finding{Unseen: "no answer"}, want: "as before", warnings: 1},
		"an import of nothing":      {before: types.StringNull(), found: finding{Problem: "it is gone", Absent: true}, removed: true},
		"an error changes no state": {before: types.StringValue("as before"), err: errors.New("boom"), want: "as before", failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			m := fake(fakeKind{onInspect: func(*fakeModel) (finding, error) { return tc.found, tc.err }})
			s, state := raw(t, tc.before, types.StringValue("now"))
			resp := &resource.ReadResponse{State: tfsdk.State{Schema: s, Raw: state}, Identity: identityOf(m)}
			m.Read(ctx, resource.ReadRequest{State: tfsdk.State{Schema: s, Raw: state}}, resp)
			if resp.Diagnostics.HasError() != tc.failed || resp.Diagnostics.WarningsCount() != tc.warnings {
				t.Errorf("got %v", resp.Diagnostics)
			}
			if resp.State.Raw.IsNull() != tc.removed {
				t.Fatalf("removed from the state: %t, want %t", resp.State.Raw.IsNull(), tc.removed)
			}
			if !tc.removed && text(t, resp.State, "status").ValueString() != tc.want {
				t.Errorf("the status is %s, want %q", text(t, resp.State, "status"), tc.want)
			}
			// Terraform versions that know no identity have stored none; a Read without it is refused.
			if !tc.failed && resp.Identity.Raw.IsFullyNull() {
				t.Error("the identity is missing")
			}
		})
	}
}

func TestModifyPlan(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	null := func(s schema.Schema) tftypes.Value { return tftypes.NewValue(s.Type().TerraformType(ctx), nil) }
	modify := func(t *testing.T, before types.String, isNew bool) types.String {
		t.Helper()
		s, plan := raw(t, before, types.StringValue("now"))
		state := plan
		if isNew {
			state = null(s)
		}
		resp := &resource.ModifyPlanResponse{Plan: tfsdk.Plan{Schema: s, Raw: plan}}
		fake(fakeKind{}).ModifyPlan(ctx, resource.ModifyPlanRequest{
			Config: tfsdk.Config{Schema: s, Raw: plan}, Plan: resp.Plan, State: tfsdk.State{Schema: s, Raw: state},
		}, resp)
		if resp.Diagnostics.HasError() {
			t.Fatal(resp.Diagnostics)
		}
		return text(t, tfsdk.State(resp.Plan), "status")
	}
	if got := modify(t, types.StringUnknown(), true); !got.IsUnknown() {
		t.Errorf("a creation plans the status %s, want unknown: it may be interrupted", got)
	}
	if got := modify(t, types.StringValue("it is broken"), false); got.ValueString() != inPlace {
		t.Errorf("an update plans the status %s, want %q", got, inPlace)
	}
}
