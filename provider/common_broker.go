package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// brokerModel is how a broker is handed from one resource to the others: where it is and which file opens it. It may be
// written by hand for a broker that somebody else runs.
type brokerModel struct {
	ManagementURL   types.String `tfsdk:"management_url"`
	CredentialsFile types.String `tfsdk:"credentials_file"`
	Host            types.String `tfsdk:"host"`
	Port            types.Int64  `tfsdk:"port"`
	Incarnation     types.String `tfsdk:"incarnation"`
	CAFile          types.String `tfsdk:"ca_file"`
	Hosts           types.List   `tfsdk:"hosts"`
}

var brokerTypes = map[string]attr.Type{
	"management_url":   types.StringType,
	"credentials_file": types.StringType,
	"host":             types.StringType,
	"port":             types.Int64Type,
	"incarnation":      types.StringType,
	"ca_file":          types.StringType,
	"hosts":            types.ListType{ElemType: types.StringType},
}

const (
	brokerURLText  = "Address of the management API, `http://HOST:PORT`."
	brokerFileText = "Path of a 0600 file with an administrator's credentials, a line `uri = amqp://USER:PASSWORD@HOST`; one that " +
		"lies on another machine is `ssh://USER@HOST:PORT/PATH`, and the broker is then reached by way of that machine."
	brokerHostText  = "Host that speaks AMQP."
	brokerPortText  = "Port of AMQP. Requesters' tools ignore any but 5672."
	brokerCAText    = "Path of the certificate, in PEM form, of the authority that vouches for an `https` management API."
	brokerHostsText = "Hosts of a cluster, all of which speak AMQP on `port`; `host` is one of them. Workers, collectors and " +
		"`autopkgtest-cloud` go on with another when theirs is lost; britney knows `host` alone."
	incarnationText = "Name of this set of data. When it changes, everything that was there is gone, and what refers to it is made again."
)

// brokerAttribute is the broker that a resource works on.
func brokerAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Required: true,
		MarkdownDescription: "The broker, as `autopkgtest_rabbitmq_server` hands it out in its attribute `broker`; or written by " +
			"hand for one that somebody else runs.",
		Attributes: map[string]schema.Attribute{
			"management_url": schema.StringAttribute{
				Required: true, MarkdownDescription: brokerURLText, Validators: []validator.String{managementURL()},
			},
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

// computedBroker is the broker that a server hands out.
func computedBroker() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"management_url":   schema.StringAttribute{Computed: true, MarkdownDescription: brokerURLText},
		"credentials_file": schema.StringAttribute{Computed: true, MarkdownDescription: brokerFileText},
		"host":             schema.StringAttribute{Computed: true, MarkdownDescription: brokerHostText},
		"port":             schema.Int64Attribute{Computed: true, MarkdownDescription: brokerPortText},
		"incarnation":      schema.StringAttribute{Computed: true, MarkdownDescription: incarnationText},
		"ca_file":          schema.StringAttribute{Computed: true, MarkdownDescription: brokerCAText},
		"hosts": schema.ListAttribute{
			Computed: true, ElementType: types.StringType, MarkdownDescription: brokerHostsText + " Null without a cluster.",
		},
	}
}

// brokerOf reads a broker out of a model's object.
func brokerOf(ctx context.Context, object types.Object) (b brokerModel) {
	if !object.IsNull() && !object.IsUnknown() {
		_ = object.As(ctx, &b, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	return b
}

// amqp is where the broker's clients connect.
func (b brokerModel) amqp() (host string, port int) {
	host, port = b.Host.ValueString(), int(b.Port.ValueInt64())
	if host == "" {
		if u, err := url.Parse(b.ManagementURL.ValueString()); err == nil {
			host = u.Hostname()
		}
	}
	if port == 0 {
		port = config.DefaultPort
	}
	return host, port
}

var (
	// errBrokerGone: the file that opens the broker is gone, and nothing answers at its address.
	errBrokerGone = errors.New("the broker is gone")
	// errBrokerLocked: the file that opens the broker is gone, and the broker is there.
	errBrokerLocked = errors.New("the credentials of the broker's administrator are gone")
)

type clientKey struct{ endpoint, username, password, authority, through string }

// broker returns the client of a broker. Resources that name the same broker share it, and with it its limit of calls
// at a time.
func (s *settings) broker(ctx context.Context, b brokerModel) (*management.Client, error) {
	file := b.CredentialsFile.ValueString()
	credentials, err := s.readBroker(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", without(ctx, b.ManagementURL.ValueString(), s.dialerOf(file)), err)
	}
	if err != nil {
		return nil, at(path.Root("broker").AtName("credentials_file"), err)
	}
	key := clientKey{b.ManagementURL.ValueString(), credentials.Username, credentials.Password.Reveal(), "", ""}
	if machine.IsFar(file) {
		key.through = file
	}
	if authorityFile := b.CAFile.ValueString(); authorityFile != "" {
		authority, err := s.readFile(ctx, authorityFile)
		if err != nil {
			return nil, at(path.Root("broker").AtName("ca_file"), err)
		}
		key.authority = string(authority)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if client, ok := s.clients[key]; ok {
		return client, nil
	}
	client, err := management.New(key.endpoint, credentials.Username, credentials.Password)
	if err != nil {
		return nil, at(path.Root("broker").AtName("management_url"), err)
	}
	if key.authority != "" {
		if err := client.Trust([]byte(key.authority)); err != nil {
			return nil, at(path.Root("broker").AtName("ca_file"), fmt.Errorf("%s: %w", b.CAFile.ValueString(), err))
		}
	}
	if dial := s.dialerOf(file); dial != nil {
		client.DialBy(dial)
	}
	// The credentials file of a node that we run lies in its stack's folder; anybody else's is somewhere else.
	if path, ok := s.files.here(file); ok {
		d, err := host.Open(filepath.Dir(filepath.Dir(path)), s.stack)
		if err == nil && rabbitmq.Runs(d, key.endpoint, path) {
			client.SyncWith(func(ctx context.Context) error { return rabbitmq.Sync(ctx, d) })
		}
	}
	s.clients[key] = client
	return client, nil
}

// without says what it means that there are no credentials for the broker at an address.
func without(ctx context.Context, address string, dial dialer) error {
	u, err := url.Parse(address)
	if err != nil {
		return errBrokerGone
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: time.Second}).DialContext
	}
	connection, err := dial(ctx, "tcp", u.Host)
	if err != nil {
		return errBrokerGone
	}
	_ = connection.Close()
	return errBrokerLocked
}

// readyBroker returns the client of a broker that answers, and waits for one that is still starting.
func (s *settings) readyBroker(ctx context.Context, b brokerModel) (*management.Client, error) {
	client, err := s.broker(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := client.Await(ctx); err != nil {
		return nil, unfit(err)
	}
	return client, nil
}

// unseenBroker turns the two ways in which a broker cannot be looked at into findings: it is gone for good, or it does not
// answer now. Other errors are returned.
func unseenBroker(err error, what string) (finding, error) {
	switch {
	case errors.Is(err, errBrokerGone):
		return finding{Problem: "the broker is gone, and with it " + what, Absent: true}, nil
	case errors.Is(err, management.ErrUnavailable), errors.Is(err, errBrokerLocked), errors.Is(err, management.ErrDenied),
		machineAway(err):
		return finding{Unseen: err.Error()}, nil
	}
	return finding{}, err
}

// leftBehind says whether a removal must stop because the broker is gone, which is success, or does not answer, which is a
// warning: a broken stack must be removable, and what is left goes with the broker's data.
func leftBehind[M any](c *call[M], err error, what string) (bool, error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, errBrokerGone):
		return true, nil
	case errors.Is(err, management.ErrUnavailable), errors.Is(err, errBrokerLocked), machineAway(err):
		c.diags.AddWarning("Left in a broker that does not answer", what+" could not be removed: "+err.Error()+
			"\n\nIt goes with the broker's data when the broker itself is removed.")
		return true, nil
	}
	return true, err
}
