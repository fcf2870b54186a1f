package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// systemFolder is where the stacks of a server lie, each in a folder of its name.
const systemFolder = "/var/lib/autopkgtest-cloud/"

// The services as the set-up of a machine knows them.
const (
	needsOfRabbitMQ = "rabbitmq"
	needsOfSwift    = "swift"
	needsOfImages   = "images"
	needsOfWorker   = "worker"
	needsOfWeb      = "web"
)

func systemAttribute() schema.Attribute {
	return schema.BoolAttribute{
		Optional: true, Computed: true,
		MarkdownDescription: "Put the service onto the machine as a whole, as on a server: systemd runs its processes, as units " +
			"`autopkgtest-STACK-PROCESS.service`, and starts them at boot; Debian packages that it needs and that are missing are " +
			"installed, without starting anything that is in them, for which there are ten minutes more than `timeouts` has by itself; " +
			"the account is made. This takes root and a machine that boots with " +
			"systemd. Otherwise the stack has a supervisor of its own in its folder, and needs neither. All services of a stack are " +
			"alike in this. Default: the provider's `system`.",
		PlanModifiers: []planmodifier.Bool{
			boolplanmodifier.UseStateForUnknown(), boolplanmodifier.RequiresReplaceIfConfigured(),
		},
	}
}

// planSystem fills in the provider's default.
func (s *settings) planSystem(plan *serviceModel, state *serviceModel, config *serviceModel, diags *diag.Diagnostics) {
	if config.System.IsNull() {
		plan.System = types.BoolValue(s.system)
	}
	if state == nil {
		if plan.System.ValueBool() && !plan.elsewhere() {
			if err := host.CheckSystem(); err != nil {
				explain(diags, "The service cannot be system-wide here", at(path.Root("system"), err))
			}
		}
		return
	}
	if state.System.ValueBool() != plan.System.ValueBool() {
		if config.System.IsNull() {
			diags.AddAttributeError(path.Root("system"), "The stack's kind cannot be changed",
				"The provider's system is another one than when the service was made. Set the resource's own system, which replaces "+
					"it, or destroy the stack first.")
		}
		return
	}
	plan.System = state.System // a state of old says nothing, which is as good as false
}

// packagesLimit is what apt may take beside, on a machine that has nothing yet of what a service needs: a minute on a usual one, more where
// its archive is far away.
const packagesLimit = 10 * time.Minute

// patience is how long something may take that takes so long where all packages are there.
func (m *serviceModel) patience(furnished time.Duration) time.Duration {
	if m.System.ValueBool() {
		return furnished + packagesLimit
	}
	return furnished
}

// place makes or adopts the stack's folder, and for a system-wide service first brings onto the machine what it needs.
func (s *settings) place(ctx context.Context, m *serviceModel, needs string) (*host.Directory, error) {
	if m.System.ValueBool() {
		if err := host.Furnish(ctx, needs, s.account); err != nil {
			return nil, at(path.Root("system"), err)
		}
	}
	return s.create(ctx, m.path(), m.System.ValueBool())
}
