package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// userEndpointAttribute has the attributes of a server's tls_endpoint, which can be handed over as it is.
func userEndpointAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Where the user connects over TLS, as `autopkgtest_rabbitmq_server` hands it out in its attribute " +
			"`tls_endpoint`; or written by hand for a broker that somebody else runs. The credentials file then leads there: the " +
			"worker, the collector and `autopkgtest-cloud` believe only a certificate for that host which the authority vouches " +
			"for. Default: plain AMQP, the only thing that britney speaks.",
		Attributes: map[string]schema.Attribute{
			"address": schema.StringAttribute{
				Required: true, Validators: []validator.String{hostAndPort()},
				MarkdownDescription: "`HOST:PORT`; the broker's certificate must be for this host.",
			},
			"ca_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{absolutePath()},
				MarkdownDescription: "Path of the authority's certificate, in PEM form, where the clients run. Default: the authorities " +
					"that their machine knows.",
			},
			"management_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Of no use here; it is a part of what a server hands out.",
			},
		},
	}
}

func hostAndPort() validator.String {
	return check{"a host and a port", func(s string) error {
		if _, _, err := splitAddress(s); err != nil {
			return fmt.Errorf("%q: write it as HOST:5671", s)
		}
		return nil
	}}
}

var errNoAddress = errors.New("no host and port")

func splitAddress(text string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", 0, errNoAddress
	}
	if port, err = strconv.Atoi(number); err != nil || port < 1 || port > 65535 {
		return "", 0, errNoAddress
	}
	return host, port, nil
}

type endpointModel struct {
	Address       types.String `tfsdk:"address"`
	CAFile        types.String `tfsdk:"ca_file"`
	ManagementURL types.String `tfsdk:"management_url"`
}

// leading is an account with the place where this user shall connect.
func (m *brokerUserModel) leading(ctx context.Context, account brokerAccount) brokerAccount {
	b := brokerOf(ctx, m.Broker)
	account.TLS, account.CAFile = !m.TLSEndpoint.IsNull(), ""
	if !account.TLS {
		account.Host, account.Port = b.amqp()
		account.Others = b.others(m.rights(ctx).key, account)
		return account
	}
	var e endpointModel
	_ = m.TLSEndpoint.As(ctx, &e, basetypes.ObjectAsOptions{})            // the schema has the same attributes
	account.Host, account.Port, _ = splitAddress(e.Address.ValueString()) // the validator has accepted it
	account.CAFile = e.CAFile.ValueString()
	account.Others = b.others(m.rights(ctx).key, account)
	return account
}

// sameEnd says whether two accounts lead to the same place in the same way.
func sameEnd(a, b brokerAccount) bool {
	return a.Address() == b.Address() && a.TLS == b.TLS && a.CAFile == b.CAFile && a.Others == b.Others
}

// warnOfTLS says in a plan whom it keeps out.
func (m *brokerUserModel) warnOfTLS(diags *diag.Diagnostics) {
	if m.TLSEndpoint.IsNull() || m.Role.ValueString() != string(management.Requester) {
		return
	}
	diags.AddAttributeWarning(path.Root("tls_endpoint"), "britney cannot use these credentials",
		"It speaks no TLS, and takes the URL's port for 5672. Leave tls_endpoint out for britney's user, and give one of its own to "+
			"whatever speaks TLS.")
}
