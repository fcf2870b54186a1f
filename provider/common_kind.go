package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// The two words for a thing with which all is well: a service runs, anything else is in place.
const (
	running = "running"
	inPlace = "in place"
)

// A kind is what one type of resource knows; managed gives it Terraform's life cycle. M is its model.
//
// What a kind manages is repaired, never replaced because it is broken: inspect says in a sentence what is wrong, that
// sentence becomes the status in the state, the plan always expects the good word, and so ensure is called.
type kind[M any] interface {
	// typeName follows "autopkgtest_".
	typeName() string
	// schema of the resource. It has a computed status and may have timeouts.
	schema(ctx context.Context) schema.Schema
	// base is the part of the model that managed itself uses.
	base(m *M) *baseModel
	// identity tells one from another. The order is that of the parts of an import id.
	identity(m *M) []identityValue
	// well is the status with which all is well.
	well() string
	// patience is how long ensure and remove may take when the configuration is silent.
	patience(m *M) time.Duration
	// plan completes and checks a plan that is not a destroy.
	plan(ctx context.Context, p *planning[M])
	// planRemoval may refuse or warn of a destroy.
	planRemoval(ctx context.Context, c *call[M])
	// ensure makes it as the model says, whatever is there already, and fills in what the plan left unknown. It is called
	// for a creation, an update, and again after an interruption at any moment.
	ensure(ctx context.Context, c *call[M]) error
	// inspect compares what is there with the model, which it may correct, and changes nothing.
	inspect(ctx context.Context, c *call[M]) (finding, error)
	// remove takes it away. What is gone already is success.
	remove(ctx context.Context, c *call[M]) error
}

// importable is a kind that can be imported.
type importable[M any] interface {
	// imported fills the model of a thing of which only what identifies it is known, enough for inspect.
	imported(ctx context.Context, c *call[M]) error
}

// baseModel is what all models have.
type baseModel struct {
	Status   types.String   `tfsdk:"status"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`
}

// finding is what inspect saw.
type finding struct {
	Problem string // a sentence, empty when all is well
	Absent  bool   // there is nothing at all
	Unseen  string // why it could not be looked at now; then what the state says stands
}

// call is one call of Terraform.
type call[M any] struct {
	*settings
	model  *M // what shall be, or what was
	prior  *M // what was, when an update changes it
	memory memory
	diags  *diag.Diagnostics // for warnings
}

// planning is a plan in the making.
type planning[M any] struct {
	*settings
	config *M
	model  *M // the plan
	state  *M // nil for a creation
	memory memory
	diags  *diag.Diagnostics
	// replace says of attributes that their change makes another thing.
	replace func(path.Path)
}

// memory is Terraform's private state of a resource. Nothing secret is put there: it is merely encoded.
type memory interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}
