package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// brokerClusterModel makes a server a member of a cluster.
type brokerClusterModel struct {
	Address    types.String `tfsdk:"address"`
	Port       types.Int64  `tfsdk:"port"`
	Members    types.List   `tfsdk:"members"`
	CookieFile types.String `tfsdk:"cookie_file"`
}

func clusterAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Makes the server one of several that share users and queues; each has this, with an `address` of its own " +
			"and the rest the same. Queues are kept on several of them with `mirrors` of `autopkgtest_broker`. Make three or more: with " +
			"half of them down none serves, so two are refused. A new one joins those that are there, one whose disk is lost as well; " +
			"one that is destroyed leaves, and one that is no longer among `members` and down is forgotten. A server alone that has " +
			"data does not become a member.",
		Attributes: map[string]schema.Attribute{
			"address": schema.StringAttribute{
				Required: true, Validators: []validator.String{ipAddress()},
				MarkdownDescription: "Its own IPv4 address, at which the others reach it; the node is called after it. Public addresses " +
					"are refused: what members say to each other is not encrypted. Without `listen`, AMQP is spoken there as well.",
			},
			"members": schema.ListAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "The addresses of all members, this one's among them. The first founds the cluster when there is " +
					"none.",
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.NoNullValues(), listvalidator.ValueStringsAre(ipAddress()),
				},
			},
			"port": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)},
				MarkdownDescription: fmt.Sprintf("Where members talk with each other, the same on all. Default: %d.", rabbitmq.ClusterPort),
			},
			"cookie_file": schema.StringAttribute{
				Required: true, Validators: []validator.String{absolutePath()},
				MarkdownDescription: "Path of a 0600 file on the machine where Terraform runs, with the secret (Erlang's cookie) that " +
					"all members share. One that is not there is made, but for members on other machines (`host`). Whoever knows it " +
					"commands the brokers.",
			},
		},
	}
}

// cluster is nil for a server alone, and while something of it is not known yet.
func (m *rabbitMQServerModel) cluster(ctx context.Context) *rabbitmq.Cluster {
	if !m.clusterKnown() || m.Cluster.IsNull() {
		return nil
	}
	var c brokerClusterModel
	_ = m.Cluster.As(ctx, &c, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	members, _ := listOf(c.Members)
	return &rabbitmq.Cluster{
		Address: c.Address.ValueString(), Port: int(c.Port.ValueInt64()), Members: members, CookieFile: c.CookieFile.ValueString(),
	}
}

func (m *rabbitMQServerModel) clusterKnown() bool {
	if m.Cluster.IsUnknown() {
		return false
	}
	for _, value := range m.Cluster.Attributes() {
		if list, ok := value.(types.List); ok {
			if _, known := listOf(list); !known {
				return false
			}
		} else if value.IsUnknown() {
			return false
		}
	}
	return true
}

// memberKey marks, in the private state, a member that was one before.
const memberKey = "member"

// mayFound lets a server found a cluster that was not a member before, or whose requests may be lost.
func mayFound(ctx context.Context, c *call[rabbitMQServerModel], s rabbitmq.Settings) {
	if s.Cluster == nil {
		return
	}
	mark, diags := c.memory.GetKey(ctx, memberKey)
	c.diags.Append(diags...)
	s.Cluster.Found = mark == nil || c.model.AllowMessageLoss.ValueBool()
}

func markMember(ctx context.Context, c *call[rabbitMQServerModel], s rabbitmq.Settings) {
	if s.Cluster != nil {
		c.diags.Append(c.memory.SetKey(ctx, memberKey, []byte("true"))...)
	}
}

// planCluster refuses in a plan what an apply could not do, and says what it would cost.
func (m *rabbitMQServerModel) planCluster(p *planning[rabbitMQServerModel], s rabbitmq.Settings) {
	where := path.Root("cluster")
	if p.state != nil && p.state.Cluster.IsNull() != m.Cluster.IsNull() {
		p.diags.AddAttributeError(where, "A broker does not become a member of a cluster, nor a member a broker alone",
			"Its data bear its name. Make the new brokers in other folders, let the requests here be finished, and destroy this one.")
	}
	if s.Cluster == nil {
		return
	}
	if err := s.Cluster.Check(); err != nil {
		explain(p.diags, "There can be no such cluster", atSetting(err))
		return
	}
	checkOwnAddress(p.diags, "broker", where.AtName("address"), s.Cluster.Address)
	if _, err := s.Cluster.ReadCookie(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		explain(p.diags, "The members have no secret", atSetting(err))
	}
	if p.state != nil && p.state.Cluster.Equal(m.Cluster) {
		return
	}
	if len(s.Cluster.Members) == 2 {
		const title, detail = "Two members are less than one", "When one is down the other does not serve: it cannot tell whether the " +
			"first goes on without it. Make three."
		if p.state == nil {
			p.diags.AddAttributeError(where.AtName("members"), title, detail)
		} else { // one of three may have been lost for good
			p.diags.AddAttributeWarning(where.AtName("members"), title, detail)
		}
	}
	if address, err := netip.ParseAddr(s.Cluster.Address); err == nil && !address.IsLoopback() {
		p.diags.AddAttributeWarning(where.AtName("address"), "Other machines will reach the cluster's own port",
			fmt.Sprintf("What members say to each other on %s, port %d, is not encrypted, requests and hashes of passwords included, and "+
				"whoever knows the cookie commands the brokers: let only the members reach it.", s.Cluster.Address, s.Cluster.Port))
	}
}

// heldBy are the queues, with the number of their messages, that would be lost with a member of a cluster, or with a broker alone.
func heldBy(ctx context.Context, client *management.Client, cluster *rabbitmq.Cluster) (held []string, err error) {
	queues, err := client.Queues(ctx)
	if err != nil {
		return nil, err
	}
	var running []string
	name := ""
	if cluster != nil {
		name = rabbitmq.NodeName(cluster.Address)
		if running, err = client.RunningNodes(ctx); err != nil {
			return nil, err
		}
	}
	for _, queue := range queues {
		switch {
		case cluster != nil && queue.SafeWithout(name, running):
		case queue.Stopped:
			held = append(held, queue.Name+" (nobody knows: it is down)")
		case queue.Messages > 0:
			held = append(held, fmt.Sprintf("%s (%d)", queue.Name, queue.Messages))
		}
	}
	slices.Sort(held)
	return held, nil
}

// leave takes a member out of its cluster. Members go one after the other, each when nothing would be lost with it: the last one
// is refused, whatever a plan could see of it.
func leave(ctx context.Context, c *call[rabbitMQServerModel], withdraw func() error) error {
	s := c.model.settings(ctx)
	release, err := s.Turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := refuseMessageLoss(ctx, c); err != nil {
		return err
	}
	if s.Cluster == nil {
		return withdraw()
	}
	d, err := c.open(c.model.path())
	if err == nil && d != nil && !c.model.AllowMessageLoss.ValueBool() && rabbitmq.HoldsData(d) {
		err = refuseOnly(ctx, d)
	}
	if err == nil && d != nil {
		err = rabbitmq.Leave(ctx, d)
	}
	if err != nil {
		return err
	}
	return withdraw()
}

// memberTurn is a member's turn where members are on several machines: with one cookie they are one cluster. A member that is not
// well does not wait; it may be just what another one waits for.
func memberTurn(ctx context.Context, typeName string, prior tftypes.Value) (over func(), err error) {
	none := func() {}
	if typeName != "autopkgtest_"+(rabbitMQServerKind{}).typeName() {
		return none, nil
	}
	var member struct{ status, cookie string }
	var server, cluster map[string]tftypes.Value
	for _, step := range []func() error{
		func() error { return prior.As(&server) },
		func() error { return textOf(server["status"], &member.status) },
		func() error { return server["cluster"].As(&cluster) },
		func() error { return textOf(cluster["cookie_file"], &member.cookie) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if member.cookie == "" || member.status != running {
		return none, nil
	}
	return rabbitmq.Settings{Cluster: &rabbitmq.Cluster{CookieFile: member.cookie}}.Turn(ctx)
}

// textOf reads a text, empty if there is none.
func textOf(value tftypes.Value, into *string) error {
	if value.IsNull() || !value.IsKnown() {
		return nil
	}
	return value.As(into)
}

// refuseOnly asks the node itself, which knows better than the management API.
func refuseOnly(ctx context.Context, d *host.Directory) error {
	const consequence = "Whoever sent them would wait for their results for ever. Let the workers finish them first."
	switch only, err := rabbitmq.Held(ctx, d); {
	case err != nil:
		return held("Whether requests wait in the broker is not known", consequence, "allow_message_loss", err)
	case len(only) > 0:
		return held("Only this member has what stands in "+strings.Join(only, ", "), consequence, "allow_message_loss", nil)
	}
	return nil
}

// clusterHosts are the addresses at which clients reach a broker, null if there is one.
func clusterHosts(s rabbitmq.Settings) types.List { return stringList(s.Hosts()) }

// atCluster says which attribute an error about a cluster concerns; nil for others.
func atCluster(err error) error {
	var field *rabbitmq.ClusterError
	if !errors.As(err, &field) {
		return nil
	}
	return at(path.Root("cluster").AtName(string(field.Field)), err)
}

// others are where an account is good as well, as far as whoever reads a file with this key knows of several places.
func (b brokerModel) others(key string, account brokerAccount) (others config.Others) {
	if key != config.KeyURI {
		return ""
	}
	hosts, _ := listOf(b.Hosts)
	for _, name := range hosts {
		if at := (config.Broker{Host: name, Port: account.Port, TLS: account.TLS}); name != account.Host {
			others = others.With(at.Address())
		}
	}
	return others
}

// clusterTypes are those of brokerClusterModel.
func clusterTypes() map[string]attr.Type {
	kinds := map[string]attr.Type{}
	for name, attribute := range clusterAttribute().Attributes {
		kinds[name] = attribute.GetType()
	}
	return kinds
}

// withoutData is the broker of a server whose data are gone. With a member's disk nothing of its cluster is: that goes on, under its
// incarnation.
func (m *rabbitMQServerModel) withoutData(broker types.Object) types.Object {
	if m.Cluster.IsNull() {
		return withoutIncarnation(broker)
	}
	return broker
}

// beginsAnew says whether a member that is not well may found another cluster, because the configuration now says that requests may
// be lost.
func (m *rabbitMQServerModel) beginsAnew(planned *rabbitMQServerModel) bool {
	return !m.Cluster.IsNull() && m.Status.ValueString() != running && planned.AllowMessageLoss.ValueBool()
}

// memberBroker plans the broker of a member: another member is another host of it, and nothing else changes.
func (s *settings) memberBroker(broker types.Object, directory string, wanted rabbitmq.Settings) types.Object {
	if broker.IsNull() || broker.IsUnknown() {
		return broker
	}
	values := broker.Attributes()
	values["hosts"] = types.ListUnknown(types.StringType)
	if wanted.Cluster != nil {
		values["hosts"] = clusterHosts(wanted)
	}
	if s.stackAbsent(directory) {
		values["management_url"] = types.StringUnknown() // a new folder may get other ports
	}
	return types.ObjectValueMust(broker.AttributeTypes(context.Background()), values)
}
