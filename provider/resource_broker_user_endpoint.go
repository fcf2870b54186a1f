package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
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
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Path of the authority's certificate, in PEM form, on this machine; services on other machines get " +
					"a copy. Default: the authorities that the clients' machine knows.",
			},
			"ca_certificate": schema.StringAttribute{
				Optional: true, Validators: []validator.String{certificate()},
				MarkdownDescription: "That certificate itself. Where `ca_file` is not of this machine, or left out, it is put beside the " +
					"credentials, into a file with `.ca.pem` behind their name, the same owner and the same mode.",
			},
			"management_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Of no use here; it is a part of what a server hands out.",
			},
		},
	}
}

func advertisedHostAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{machineAddress(), stringvalidator.ConflictsWith(path.MatchRoot("tls_endpoint"))},
		MarkdownDescription: "Host by which the user's clients reach the broker where that is another one than the broker's own, as the " +
			"floating IP of its machine is: the credentials file leads there, and names no other hosts. That the account works is tried " +
			"at the broker's own host, since machines seldom reach themselves by such an address. Default: the broker's `host`.",
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
	CACertificate types.String `tfsdk:"ca_certificate"`
	ManagementURL types.String `tfsdk:"management_url"`
}

func (m *brokerUserModel) endpoint(ctx context.Context) (e endpointModel) {
	if !m.TLSEndpoint.IsNull() && !m.TLSEndpoint.IsUnknown() {
		_ = m.TLSEndpoint.As(ctx, &e, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	return e
}

// leading is an account with the place where this user shall connect.
func (m *brokerUserModel) leading(ctx context.Context, account brokerAccount) brokerAccount {
	b := brokerOf(ctx, m.Broker)
	account.TLS, account.CAFile = !m.TLSEndpoint.IsNull(), ""
	if !account.TLS {
		account.Host, account.Port = b.amqp()
		if advertised := m.AdvertisedHost.ValueString(); advertised != "" {
			account.Host, account.Others = advertised, ""
			return account
		}
		account.Others = b.others(m.rights(ctx).key, account)
		return account
	}
	e := m.endpoint(ctx)
	account.Host, account.Port, _ = splitAddress(e.Address.ValueString()) // the validator has accepted it
	account.CAFile = e.CAFile.ValueString()
	if file, _ := m.authority(ctx); file != "" {
		account.CAFile = file
	}
	account.Others = b.others(m.rights(ctx).key, account)
	return account
}

// seenInside is an account with the place where the broker itself has it.
func (m *brokerUserModel) seenInside(ctx context.Context, account brokerAccount) brokerAccount {
	if !account.TLS {
		account.Host, account.Port = brokerOf(ctx, m.Broker).amqp()
	}
	return account
}

// sameEnd says whether two accounts lead to the same place in the same way.
func sameEnd(a, b brokerAccount) bool {
	return a.Address() == b.Address() && a.TLS == b.TLS && a.CAFile == b.CAFile && a.Others == b.Others
}

// planEndpoint refuses an authority that clients could not read, and says whom TLS keeps out.
func (m *brokerUserModel) planEndpoint(ctx context.Context, diags *diag.Diagnostics) {
	if e := m.endpoint(ctx); machine.IsFar(e.CAFile.ValueString()) && e.CACertificate.IsNull() {
		diags.AddAttributeError(path.Root("tls_endpoint").AtName("ca_file"), "The authority's certificate is on another machine",
			"The user's clients cannot read "+e.CAFile.ValueString()+". Write the certificate itself into ca_certificate, or hand over "+
				"the whole tls_endpoint of the server, which has it.")
	}
	if m.TLSEndpoint.IsNull() || m.Role.ValueString() != string(management.Requester) {
		return
	}
	diags.AddAttributeWarning(path.Root("tls_endpoint"), "britney cannot use these credentials",
		"It speaks no TLS, and takes the URL's port for 5672. Leave tls_endpoint out for britney's user, and give one of its own to "+
			"whatever speaks TLS.")
}
