package provider

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

// inventoryKey is where a server remembers what lived in it.
const inventoryKey = "inventory"

// inventory is what lived in a server when it was looked at last, in words for the plan that has to say what is gone.
// Names and counts only: Terraform's private state is encoded, not hidden.
type inventory struct {
	Things []string `json:"things"`
}

func (i inventory) remember(ctx context.Context, m memory) {
	slices.Sort(i.Things)
	if data, err := json.Marshal(i); err == nil {
		m.SetKey(ctx, inventoryKey, data) // only a key of ours could be refused, and this is none
	}
}

func recall(ctx context.Context, m memory) inventory {
	var i inventory
	if data, _ := m.GetKey(ctx, inventoryKey); data != nil {
		_ = json.Unmarshal(data, &i) // something else's memory is none of ours
	}
	return i
}

// warnOfLoss says in a plan what lived in a server whose data are gone. One that was never finished had none.
func (p *planning[M]) warnOfLoss(ctx context.Context, object types.Object, what string, again string) {
	if object.IsNull() {
		return
	}
	text := "What lived in it is not known; the resources that the plan changes beside this one were in it."
	if known := recall(ctx, p.memory); len(known.Things) > 0 {
		text = "When it was looked at last, there lived in it:\n\n  - " + strings.Join(known.Things, "\n  - ")
	}
	p.diags.AddWarning("The data of "+what+" are gone", text+"\n\n"+again)
}

// withoutIncarnation keeps the addresses of a server whose data are gone: outputs go on to have a value, and the next
// plan knows what happened.
func withoutIncarnation(object types.Object) types.Object {
	if object.IsNull() || object.IsUnknown() {
		return object
	}
	values := object.Attributes()
	values["incarnation"] = types.StringNull()
	return types.ObjectValueMust(object.AttributeTypes(context.Background()), values)
}

// newIncarnation plans a server that begins anew: its addresses stay, unless the whole stack is gone and with it the choice
// of ports.
func (s *settings) newIncarnation(object types.Object, directory string) types.Object {
	kinds := object.AttributeTypes(context.Background())
	if object.IsNull() || s.stackAbsent(directory) {
		return types.ObjectUnknown(kinds)
	}
	values := object.Attributes()
	values["incarnation"] = types.StringUnknown()
	return types.ObjectValueMust(kinds, values)
}

// hasIncarnation says whether an object stands for data that are there.
func hasIncarnation(object types.Object) bool {
	value, ok := object.Attributes()["incarnation"].(types.String)
	return ok && value.ValueString() != ""
}
