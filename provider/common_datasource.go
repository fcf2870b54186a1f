package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// configured takes what Configure of the provider handed over; nil before the provider is configured.
func configured(data any, diags *diag.Diagnostics) *settings {
	if data == nil {
		return nil
	}
	s, ok := data.(*settings)
	if !ok {
		diags.AddError("The provider handed over the wrong settings", fmt.Sprintf("%T", data))
	}
	return s
}

// brokerToLookAt is brokerAttribute for a data source.
func brokerToLookAt(required bool) schema.Attribute {
	return schema.SingleNestedAttribute{
		Required: required, Optional: !required,
		MarkdownDescription: "The broker, as `autopkgtest_rabbitmq_server` hands it out in its attribute `broker`; or written by " +
			"hand for one that somebody else runs.",
		Attributes: map[string]schema.Attribute{
			"management_url":   schema.StringAttribute{Required: true, MarkdownDescription: brokerURLText},
			"credentials_file": schema.StringAttribute{Required: true, MarkdownDescription: brokerFileText},
			"host": schema.StringAttribute{
				Optional: true, MarkdownDescription: brokerHostText + " Default: that of `management_url`.",
			},
			"port":        schema.Int64Attribute{Optional: true, MarkdownDescription: brokerPortText + " Default: 5672."},
			"incarnation": schema.StringAttribute{Optional: true, MarkdownDescription: incarnationText},
			"ca_file": schema.StringAttribute{
				Optional: true, MarkdownDescription: brokerCAText + " Default: those that this machine knows.",
			},
			"hosts": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: brokerHostsText + " Default: `host` alone.",
			},
		},
	}
}

// storeToLookAt is storeAttribute for a data source.
func storeToLookAt() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The store, as `autopkgtest_swift_server` hands it out in its attribute `store`; or written by hand " +
			"for one that somebody else runs.",
		Attributes: map[string]schema.Attribute{
			"credentials_file": schema.StringAttribute{Required: true, MarkdownDescription: storeFileText},
			"storage_url":      schema.StringAttribute{Required: true, MarkdownDescription: storageURLText},
			"auth_url":         schema.StringAttribute{Optional: true, MarkdownDescription: authURLText},
			"incarnation":      schema.StringAttribute{Optional: true, MarkdownDescription: incarnationText},
		},
	}
}
