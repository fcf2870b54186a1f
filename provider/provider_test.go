package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// TestSchemas lets the framework check every schema, as it does when Terraform asks for them.
func TestSchemas(t *testing.T) {
	t.Parallel()
	server := NewServer("test", Options{})
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	identities, err := server.GetResourceIdentitySchemas(context.Background(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(schemas.Diagnostics, identities.Diagnostics...) {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	for name := range schemas.ResourceSchemas {
		if identities.IdentitySchemas[name] == nil {
			t.Errorf("%s has no identity", name)
		}
	}
	if got := len(schemas.Functions); got != 5 {
		t.Errorf("got %d functions, want 5", got)
	}
}

// TestEverythingIsDocumented: the reference is generated from the schemas.
func TestEverythingIsDocumented(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, make := range (&autopkgtestProvider{}).Resources(ctx) {
		r := make()
		var meta resource.MetadataResponse
		r.Metadata(ctx, resource.MetadataRequest{}, &meta)
		var resp resource.SchemaResponse
		r.Schema(ctx, resource.SchemaRequest{}, &resp)
		if resp.Schema.MarkdownDescription == "" {
			t.Errorf("%s has no description", meta.TypeName)
		}
		checkDescriptions(t, meta.TypeName, resp.Schema.Attributes)
		if _, ok := resp.Schema.Attributes["status"]; !ok {
			t.Errorf("%s has no status", meta.TypeName)
		}
	}
}

func checkDescriptions(t *testing.T, where string, attributes map[string]schema.Attribute) {
	t.Helper()
	for name, attribute := range attributes {
		nested, isNested := attribute.(schema.SingleNestedAttribute)
		if isNested {
			checkDescriptions(t, where+"."+name, nested.Attributes)
		}
		if attribute.GetMarkdownDescription() == "" && attribute.GetDescription() == "" && name != "timeouts" {
			t.Errorf("%s.%s has no description", where, name)
		}
		if attribute.IsSensitive() || strings.Contains(name, "password") && !strings.HasSuffix(name, "_file") {
			t.Errorf("%s.%s would put a secret into the state", where, name)
		}
	}
}

func TestNewSettings(t *testing.T) {
	t.Parallel()
	null := providerModel{
		Stack: types.StringNull(), Directory: types.StringNull(), Account: types.StringNull(), Binaries: types.StringNull(),
	}
	t.Run("defaults", func(t *testing.T) {
		t.Parallel()
		s, diags := newSettings(null, terraformsFiles{})
		if diags.HasError() || s.stack != defaultStack || !s.directory.IsNull() {
			t.Errorf("got %+v, %v", s, diags)
		}
	})
	t.Run("an unknown directory can be planned with", func(t *testing.T) {
		t.Parallel()
		model := null
		model.Directory = types.StringUnknown()
		if s, diags := newSettings(model, terraformsFiles{}); diags.HasError() || !s.directory.IsUnknown() {
			t.Errorf("got %+v, %v", s, diags)
		}
	})
	t.Run("an unknown name cannot", func(t *testing.T) {
		t.Parallel()
		model := null
		model.Stack = types.StringUnknown()
		_, diags := newSettings(model, terraformsFiles{})
		if !diags.HasError() || !diags.Errors()[0].(interface{ Path() path.Path }).Path().Equal(path.Root("stack")) {
			t.Errorf("got %v, want an error at stack", diags)
		}
	})
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	var resp provider.MetadataResponse
	(&autopkgtestProvider{version: "1.2.3"}).Metadata(context.Background(), provider.MetadataRequest{}, &resp)
	if resp.TypeName != "autopkgtest" || resp.Version != "1.2.3" {
		t.Errorf("got %+v", resp)
	}
}
