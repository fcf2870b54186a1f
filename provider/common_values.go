package provider

import (
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// stringsOf returns a set's texts in order; known is false while one of them is not.
func stringsOf(set types.Set) (texts []string, known bool) {
	texts, known = textsOf(set)
	slices.Sort(texts)
	return texts, known
}

// listOf is the same for a list, whose order is the operator's.
func listOf(list types.List) (texts []string, known bool) { return textsOf(list) }

func textsOf(collection interface {
	IsUnknown() bool
	Elements() []attr.Value
}) (texts []string, known bool) {
	if collection.IsUnknown() {
		return nil, false
	}
	for _, element := range collection.Elements() {
		text, ok := element.(types.String)
		if !ok || text.IsUnknown() {
			return nil, false
		}
		texts = append(texts, text.ValueString())
	}
	return texts, true
}

// stringList is null without texts.
func stringList(texts []string) types.List {
	if len(texts) == 0 {
		return types.ListNull(types.StringType)
	}
	return types.ListValueMust(types.StringType, elementsOf(texts))
}

func stringSet(texts []string) types.Set {
	return types.SetValueMust(types.StringType, elementsOf(texts))
}

func elementsOf(texts []string) []attr.Value {
	elements := make([]attr.Value, len(texts))
	for i, text := range texts {
		elements[i] = types.StringValue(text)
	}
	return elements
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
