package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// brokerTLSModel is how a server is reached over TLS.
type brokerTLSModel struct {
	Port             types.Int64  `tfsdk:"port"`
	CertificateFile  types.String `tfsdk:"certificate_file"`
	KeyFile          types.String `tfsdk:"key_file"`
	CAFile           types.String `tfsdk:"ca_file"`
	Names            types.Set    `tfsdk:"names"`
	ManagementListen types.String `tfsdk:"management_listen"`
	ManagementPort   types.Int64  `tfsdk:"management_port"`
}

// tlsEndpointTypes are what clients over TLS need to know.
var tlsEndpointTypes = map[string]attr.Type{
	"address":        types.StringType,
	"ca_file":        types.StringType,
	"ca_certificate": types.StringType,
	"management_url": types.StringType,
}

// listenAttributes say where a server is reached.
func listenAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"listen": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "IP addresses of this machine on which AMQP is spoken; the first is what `broker.host` says. " +
				"`0.0.0.0` or `::` alone stands for all of them. Default: the stack's own loopback address. Plain AMQP, which britney " +
				"needs, shows passwords to whoever sees the packets: a plan warns of addresses that other machines can reach.",
			Validators: []validator.List{
				listvalidator.SizeAtLeast(1), listvalidator.NoNullValues(), listvalidator.ValueStringsAre(ipAddress()),
			},
		},
		"port": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "Port of AMQP. britney and other tools ignore any but the default, 5672.",
			Validators:          []validator.Int64{int64validator.Between(1, 65535)},
		},
		"tls": schema.SingleNestedAttribute{
			Optional: true,
			MarkdownDescription: "AMQP over TLS beside plain AMQP, on the same addresses. Without files, an authority and a certificate " +
				"are generated and kept in the service's folder, the keys in 0600 files; an apply renews the certificate in its last " +
				"month, without a restart of the broker, and a plan shows it.",
			Attributes: map[string]schema.Attribute{
				"port": schema.Int64Attribute{
					Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)},
					MarkdownDescription: fmt.Sprintf("Port of AMQP over TLS. Default: %d.", rabbitmq.AMQPSPort),
				},
				"certificate_file": givenFile("key_file", "ca_file", "Path of a certificate in PEM form, with those between it and "+
					"the authority's behind it. The server gets a copy: an apply after a renewal puts the new one in place, "+
					"without a restart."),
				"key_file": givenFile("certificate_file", "ca_file", "Path of the certificate's key, which not everybody may read."),
				"ca_file":  givenFile("certificate_file", "key_file", "Path of the authority's certificate, which clients trust."),
				"names": schema.SetAttribute{
					Optional: true, ElementType: types.StringType,
					MarkdownDescription: "Further host names and addresses of a generated certificate. It has those of `listen`, of the " +
						"stack's own address, and of the machine.",
					Validators: []validator.Set{
						setvalidator.ValueStringsAre(certificateName()),
						setvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("certificate_file")),
					},
				},
				"management_listen": schema.StringAttribute{
					Optional: true, Validators: []validator.String{ipAddress()},
					MarkdownDescription: "IP address on which the management API and its pages are served over TLS. Default: none. " +
						"Plain, they are on 127.0.0.1 only.",
				},
				"management_port": schema.Int64Attribute{
					Optional: true,
					Validators: []validator.Int64{
						int64validator.Between(1, 65535),
						int64validator.AlsoRequires(path.MatchRelative().AtParent().AtName("management_listen")),
					},
					MarkdownDescription: fmt.Sprintf("Its port. Default: %d.", rabbitmq.ManagementTLSPort),
				},
			},
		},
		"tls_endpoint": schema.SingleNestedAttribute{
			Computed:            true,
			MarkdownDescription: "What clients over TLS need to know; null without `tls`.",
			PlanModifiers:       []planmodifier.Object{objectplanmodifier.UseStateForUnknown()},
			Attributes: map[string]schema.Attribute{
				"address": schema.StringAttribute{Computed: true, MarkdownDescription: "`HOST:PORT` of AMQP over TLS."},
				"ca_file": schema.StringAttribute{
					Computed: true, MarkdownDescription: "Path of the authority's certificate, which every account may read; on another " +
						"machine `ssh://USER@HOST:PORT/PATH`.",
				},
				"ca_certificate": schema.StringAttribute{
					Computed: true, MarkdownDescription: "That certificate, in PEM form: for clients on other machines.",
				},
				"management_url": schema.StringAttribute{
					Computed: true, MarkdownDescription: "`https://HOST:PORT` of the management API; null without `management_listen`.",
				},
			},
		},
	}
}

// givenFile is one of the three paths that come together.
func givenFile(second, third, description string) schema.StringAttribute {
	parent := path.MatchRelative().AtParent()
	return schema.StringAttribute{
		Optional: true, MarkdownDescription: description + " All three files are given, or none.",
		Validators: []validator.String{
			fileName(), stringvalidator.AlsoRequires(parent.AtName(second), parent.AtName(third)),
		},
	}
}

// limitAttributes bound what a server uses of its machine.
func limitAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"memory_watermark": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(rabbitmq.DefaultWatermark.String()),
			MarkdownDescription: "With more memory than this the broker takes no messages until it has less: a share of the machine's, " +
				"as `40%`, or a size, as `2G`. Default: `" + rabbitmq.DefaultWatermark.String() + "`.",
			Validators: []validator.String{check{"a memory watermark", func(s string) error {
				_, err := rabbitmq.ParseWatermark(s)
				return err
			}}},
		},
		"disk_free_limit": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(config.Size(rabbitmq.DefaultReserve).String()),
			MarkdownDescription: "With less room than this on its file system the broker takes no messages. A new one is refused where " +
				"not twice as much is free. Default: `" + config.Size(rabbitmq.DefaultReserve).String() + "`.",
			Validators: []validator.String{check{"a limit of room", func(s string) error {
				_, err := rabbitmq.ParseReserve(s)
				return err
			}}},
		},
		"log_size": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(defaultLogSize),
			MarkdownDescription: "The broker's log goes through svlogd, which begins another file when the one that is written has this " +
				"size. Default: `" + defaultLogSize + "`.",
			Validators: []validator.String{check{"a log's size", func(s string) error {
				_, err := parseLogSize(s)
				return err
			}}},
		},
		"log_files": schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(int64(host.DefaultLogLimit.Files)),
			MarkdownDescription: fmt.Sprintf("How many older files are kept. Default: %d.", host.DefaultLogLimit.Files),
			Validators:          []validator.Int64{int64validator.Between(1, 1000)},
		},
	}
}

// deliveryTimeout keeps to what a node can tell apart.
func deliveryTimeout() validator.String {
	return check{"a delivery timeout", func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write it as 90s, 30m or 48h", s)
		}
		return rabbitmq.CheckDeliveryTimeout(d)
	}}
}

// tlsTypes are those of brokerTLSModel.
func tlsTypes() map[string]attr.Type {
	kinds := map[string]attr.Type{}
	if nested, ok := listenAttributes()["tls"].(schema.SingleNestedAttribute); ok {
		for name, attribute := range nested.Attributes {
			kinds[name] = attribute.GetType()
		}
	}
	return kinds
}

const defaultLogSize = "10M"

// parseLogSize keeps to what svlogd takes.
func parseLogSize(text string) (int, error) {
	size, err := config.ParseSize(text)
	if err != nil {
		return 0, err
	}
	bytes, limited := size.Limit()
	if !limited || bytes < 64<<10 || bytes > 1<<30 {
		return 0, fmt.Errorf("%q: one file of a log has 64K to 1G", text)
	}
	return int(bytes), nil
}

// certificateName is what may stand in a certificate.
func certificateName() validator.String {
	return check{"a host name or an IP address", func(s string) error {
		if s == "" || len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune(`/@"'\,;`, r)
		}) {
			return fmt.Errorf("%q: write a host name or an IP address, without port", s)
		}
		return nil
	}}
}

// settings are the model's, whose validators have accepted them. It may be asked of a model with unknown values only when known
// says so.
func (m *rabbitMQServerModel) settings(ctx context.Context) rabbitmq.Settings {
	s := rabbitmq.Settings{DeliveryTimeout: durationOf(m.DeliveryTimeout), Port: int(m.Port.ValueInt64())}
	s.Listen, _ = listOf(m.Listen)
	s.Memory, _ = rabbitmq.ParseWatermark(m.MemoryWatermark.ValueString())
	s.Reserve, _ = rabbitmq.ParseReserve(m.DiskFreeLimit.ValueString())
	s.Log.Bytes, _ = parseLogSize(m.LogSize.ValueString())
	s.Log.Files = int(m.LogFiles.ValueInt64())
	s.Cluster = m.cluster(ctx)
	if m.TLS.IsNull() || m.TLS.IsUnknown() {
		return s
	}
	var t brokerTLSModel
	_ = m.TLS.As(ctx, &t, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	names, _ := stringsOf(t.Names)
	s.TLS = &rabbitmq.TLS{
		Port: int(t.Port.ValueInt64()), CertificateFile: t.CertificateFile.ValueString(), KeyFile: t.KeyFile.ValueString(),
		AuthorityFile: t.CAFile.ValueString(), Names: names,
		Management: t.ManagementListen.ValueString(), ManagementPort: int(t.ManagementPort.ValueInt64()),
	}
	return s
}

// brokerSettings are the model's, with the given files wherever they are.
func (s *settings) brokerSettings(ctx context.Context, m *rabbitMQServerModel) rabbitmq.Settings {
	wanted := m.settings(ctx)
	read := func(name string) ([]byte, fs.FileMode, error) {
		if path, ok := s.files.here(name); ok {
			file, err := readHere(path)
			return file.Content, file.Mode, err
		}
		file, err := s.files.fetch(ctx, name)
		return file.Content, file.Mode, err
	}
	if wanted.TLS != nil {
		wanted.TLS.Read = read
	}
	if wanted.Cluster != nil {
		path, here := s.files.here(wanted.Cluster.CookieFile)
		if here {
			wanted.Cluster.CookieFile = path
		} else {
			wanted.Cluster.Read = read
		}
	}
	return wanted
}

// known says whether nothing that settings needs comes later.
func (m *rabbitMQServerModel) known() bool {
	if _, known := listOf(m.Listen); !known || m.Port.IsUnknown() || m.TLS.IsUnknown() || m.MemoryWatermark.IsUnknown() ||
		m.DiskFreeLimit.IsUnknown() || !m.clusterKnown() {
		return false
	}
	for _, value := range m.TLS.Attributes() {
		if set, ok := value.(types.Set); ok {
			if _, known := stringsOf(set); !known {
				return false
			}
		} else if value.IsUnknown() {
			return false
		}
	}
	return true
}

// planSettings refuses in a plan what an apply on this machine could not do, and says what other machines will reach.
func (m *rabbitMQServerModel) planSettings(ctx context.Context, p *planning[rabbitMQServerModel]) {
	if !m.known() || m.elsewhere() {
		return
	}
	s := p.brokerSettings(ctx, m)
	m.planCluster(p, s)
	list := path.Root("listen")
	if err := host.CheckListen(s.Listen); err != nil {
		explain(p.diags, "The broker cannot listen like this", at(list, err))
		return
	}
	for i, address := range s.Listen {
		checkOwnAddress(p.diags, "broker", list.AtListIndex(i), address)
	}
	if err := rabbitmq.CheckWatermark(s.Memory); err != nil {
		p.diags.AddAttributeError(path.Root("memory_watermark"), "More memory than there is", err.Error())
	}
	if p.state == nil && !p.model.Directory.IsUnknown() && !p.model.Directory.IsNull() {
		if !m.System.ValueBool() { // an apply for the whole machine installs it
			if err := rabbitmq.CheckInstalled(); err != nil {
				explain(p.diags, "There can be no broker", err)
			}
		}
		if err := rabbitmq.CheckRoom(p.model.path(), s.Reserve); err != nil {
			explain(p.diags, "There is no room for the broker", at(path.Root("disk_free_limit"), err))
		}
	}
	if s.TLS != nil {
		planTLS(p.diags, s)
	}
	if p.state == nil || !p.state.Listen.Equal(m.Listen) || !p.state.TLS.Equal(m.TLS) || !p.state.Cluster.Equal(m.Cluster) {
		warnOfExposure(p.diags, s)
	}
}

func planTLS(diags *diag.Diagnostics, s rabbitmq.Settings) {
	where := path.Root("tls")
	t := *s.TLS
	if t.Management != "" {
		checkOwnAddress(diags, "broker", where.AtName("management_listen"), t.Management)
	}
	plain, secure, management := orElse(s.Port, host.AMQPPort), orElse(t.Port, rabbitmq.AMQPSPort),
		orElse(t.ManagementPort, rabbitmq.ManagementTLSPort)
	if plain == secure {
		diags.AddAttributeError(where.AtName("port"), "One port for two things",
			fmt.Sprintf("Plain AMQP has the port %d. Choose another one for AMQP over TLS.", plain))
	}
	if t.Management != "" && (management == secure || management == plain) {
		diags.AddAttributeError(where.AtName("management_port"), "One port for two things",
			fmt.Sprintf("AMQP has the port %d. Choose another one for the management API.", management))
	}
	until, err := t.Check(time.Now())
	var field *rabbitmq.FieldError
	switch {
	case errors.As(err, &field):
		explain(diags, "TLS cannot be served", at(where.AtName(string(field.Field)), err))
	case err != nil:
		explain(diags, "TLS cannot be served", at(where, err))
	case t.Given() && time.Until(until) < 14*24*time.Hour:
		diags.AddAttributeWarning(where.AtName("certificate_file"), "The broker's certificate ends soon",
			fmt.Sprintf("%s is valid until %s. Have it renewed, and apply again.", t.CertificateFile, until.UTC().Format(time.DateTime)))
	}
}

func orElse(port, otherwise int) int {
	if port == 0 {
		return otherwise
	}
	return port
}

func warnOfExposure(diags *diag.Diagnostics, s rabbitmq.Settings) {
	if s.Cluster != nil && len(s.Listen) == 0 {
		s.Listen = []string{s.Cluster.Address}
	}
	warnOfReach(diags, "broker", s.Listen, "AMQP will be spoken on %s, as the configuration says. Without TLS, as britney speaks it, "+
		"passwords and requests can be read on their way: let only the network of the test cloud reach the port.")
}

// tlsEndpoint is null without TLS.
func (s *settings) tlsEndpoint(info rabbitmq.Info) types.Object {
	if info.AMQPS == "" {
		return types.ObjectNull(tlsEndpointTypes)
	}
	return object(tlsEndpointTypes, values{
		"address":        types.StringValue(info.AMQPS),
		"ca_file":        types.StringValue(s.files.name(info.AuthorityFile)),
		"ca_certificate": textOrNull(info.Authority),
		"management_url": textOrNull(info.ManagementTLSURL),
	})
}
