package forward

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// folder is the part of a service's identity that says where it is.
const folder = "directory"

// importPlace finds out on which machine a resource is that is to be imported, and how it is called there; nil if here.
func (s *Server) importPlace(ctx context.Context, req *tfprotov6.ImportResourceStateRequest,
) (t machine.Target, there *tfprotov6.ImportResourceStateRequest, err error) {
	if req.ID != "" || req.Identity == nil {
		name, rest, more := strings.Cut(req.ID, ",")
		if !machine.IsFar(name) {
			return t, nil, nil
		}
		t, path, err := machine.ParseFile(name)
		if more {
			path += "," + rest
		}
		return t, &tfprotov6.ImportResourceStateRequest{TypeName: req.TypeName, ID: path, ClientCapabilities: req.ClientCapabilities}, err
	}
	resp, err := s.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil || resp.IdentitySchemas[req.TypeName] == nil {
		return t, nil, err
	}
	kind := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
	for _, attribute := range resp.IdentitySchemas[req.TypeName].IdentityAttributes {
		kind.AttributeTypes[attribute.Name] = attribute.Type
	}
	value, err := req.Identity.IdentityData.Unmarshal(kind)
	if err != nil {
		return t, nil, err
	}
	var attributes map[string]tftypes.Value
	var name *string
	if err := value.As(&attributes); err != nil {
		return t, nil, err
	}
	if at, ok := attributes[folder]; ok {
		if err := at.As(&name); err != nil {
			return t, nil, err
		}
	}
	if name == nil || !machine.IsFar(*name) {
		return t, nil, nil
	}
	t, path, err := machine.ParseFile(*name)
	if err != nil {
		return t, nil, err
	}
	attributes[folder] = tftypes.NewValue(tftypes.String, path)
	data, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, attributes))
	return t, &tfprotov6.ImportResourceStateRequest{
		TypeName: req.TypeName, ClientCapabilities: req.ClientCapabilities, Identity: &tfprotov6.ResourceIdentityData{IdentityData: &data},
	}, err
}
