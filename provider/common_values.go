package provider

import (
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// stringsOf returns a set's texts in order; known is false while one of them is not.
func stringsOf(set types.Set) (texts []string, known bool) {
	if set.IsUnknown() {
		return nil, false
	}
	for _, element := range set.Elements() {
		text, ok := element.(types.String)
		if !ok || text.IsUnknown() {
			return nil, false
		}
		texts = append(texts, text.ValueString())
	}
	slices.Sort(texts)
	return texts, true
}

func stringSet(texts []string) types.Set {
	elements := make([]attr.Value, len(texts))
	for i, text := range texts {
		elements[i] = types.StringValue(text)
	}
	return types.SetValueMust(types.StringType, elements)
}

// durationOf returns the value of an attribute whose validator has accepted it.
func durationOf(text types.String) time.Duration {
	d, _ := time.ParseDuration(text.ValueString())
	return d
}

type values = map[string]attr.Value

// object makes a value whose attributes are those of its types, which is a fact of the code and not of any input.
func object(kinds map[string]attr.Type, v values) types.Object {
	return types.ObjectValueMust(kinds, v)
}

func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}
