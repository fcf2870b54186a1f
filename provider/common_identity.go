package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// identityValue is an attribute of a resource's identity.
type identityValue struct {
	name        string
	description string
	value       types.String
}

func identitySchema(values []identityValue) identityschema.Schema {
	attributes := make(map[string]identityschema.Attribute, len(values))
	for _, v := range values {
		attributes[v.name] = identityschema.StringAttribute{RequiredForImport: true, Description: v.description}
	}
	return identityschema.Schema{Attributes: attributes}
}

// setIdentity writes the identity. It must come before a resource is dropped from the state: a Read that removes a
// resource which has no stored identity, as all have that an older Terraform made, is refused otherwise.
func setIdentity(ctx context.Context, identity *tfsdk.ResourceIdentity, values []identityValue) diag.Diagnostics {
	var diags diag.Diagnostics
	if identity == nil {
		return diags
	}
	for _, v := range values {
		diags.Append(identity.SetAttribute(ctx, path.Root(v.name), v.value)...)
	}
	return diags
}

// importedIdentity reads what an import names: the identity, or an id that has its parts.
func importedIdentity(ctx context.Context, req resource.ImportStateRequest, identity []identityValue) ([]string, error) {
	if req.ID != "" || req.Identity == nil {
		return splitImportID(req.ID, identity)
	}
	values := make([]string, len(identity))
	for i, v := range identity {
		if req.Identity.GetAttribute(ctx, path.Root(v.name), &values[i]).HasError() {
			return nil, fmt.Errorf("the identity lacks %s", v.name)
		}
	}
	return values, nil
}

// splitImportID cuts an import id into the parts of an identity. A path may hold the comma that parts them, so the first
// part takes what is left over.
func splitImportID(id string, values []identityValue) ([]string, error) {
	parts := strings.Split(id, ",")
	if extra := len(parts) - len(values); extra > 0 {
		parts = append([]string{strings.Join(parts[:extra+1], ",")}, parts[extra+1:]...)
	}
	for _, part := range parts {
		if part == "" {
			parts = nil
		}
	}
	if len(parts) != len(values) {
		var names []string
		for _, v := range values {
			names = append(names, strings.ToUpper(v.name))
		}
		return nil, fmt.Errorf("the import id %q is not of the form %s", id, strings.Join(names, ","))
	}
	return parts, nil
}
