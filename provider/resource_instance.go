package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

type instanceModel struct {
	baseModel
	Cloud          types.Object `tfsdk:"cloud"`
	Region         types.String `tfsdk:"region"`
	ID             types.String `tfsdk:"id"`
	Name           types.String `tfsdk:"name"`
	ImagePattern   types.String `tfsdk:"image_pattern"`
	ImageID        types.String `tfsdk:"image_id"`
	ImageName      types.String `tfsdk:"image_name"`
	Flavor         types.String `tfsdk:"flavor"`
	Network        types.String `tfsdk:"network"`
	Groups         types.Set    `tfsdk:"groups"`
	Key            types.String `tfsdk:"key"`
	UserData       types.String `tfsdk:"user_data"`
	Mirror         types.String `tfsdk:"mirror"`
	SecurityMirror types.String `tfsdk:"security_mirror"`
	Proxy          types.String `tfsdk:"proxy"`
	WaitFor        types.String `tfsdk:"wait_for"`
	SSH            types.Object `tfsdk:"ssh"`
	Address        types.String `tfsdk:"address"`
	PortID         types.String `tfsdk:"port_id"`
	HostKey        types.String `tfsdk:"host_key"`
}

type instanceKind struct{}

func newInstance() resource.Resource {
	return &managed[instanceModel]{kind: instanceKind{}, mutableIdentity: true} // one that is gone is made anew, with another id
}

func (instanceKind) typeName() string                 { return "instance" }
func (instanceKind) base(m *instanceModel) *baseModel { return &m.baseModel }
func (instanceKind) well() string                     { return running }
func (instanceKind) patience(m *instanceModel) time.Duration {
	if m.WaitFor.ValueString() == deployed.WaitActive {
		return 10 * time.Minute
	}
	return 20 * time.Minute // emulated machines need some for their boot
}

func (instanceKind) identity(m *instanceModel) []identityValue {
	return []identityValue{
		{name: "region", description: cloudRegionText, value: m.Region},
		{name: "id", description: "Id of the server.", value: m.ID},
	}
}

const replacesInstance = " Another value replaces the instance, and what is on its disk is lost."

func (instanceKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A machine in an OpenStack cloud, prepared for a service that is put there by ssh: root can log in with the " +
			"key pair's key, and nobody with a password.\n\n" +
			"It is made of the newest image at that time, and stays on it: a newer image replaces nothing. To move on, " +
			"`terraform apply -replace=ADDRESS`. One that somebody has deleted is made anew, one that is switched off " +
			"is started, and one in " +
			"ERROR is started cold; none is ever replaced because it is broken, since services keep data on their disks. Names tell a " +
			"stack's instances apart, so `create_before_destroy` is refused unless the name changes, too.",
		Attributes: baseAttributes(ctx, running, map[string]schema.Attribute{
			"cloud":  cloudAccessAttribute(),
			"region": schema.StringAttribute{Computed: true, MarkdownDescription: cloudRegionText},
			"id":     schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the server."},
			"name": schema.StringAttribute{
				Required: true, Validators: []validator.String{instanceName()},
				MarkdownDescription: "Name of the server, and of the machine at its first boot. A change renames the " +
					"server; the machine goes on " +
					"with the name that it has.",
			},
			"image_pattern": schema.StringAttribute{
				Required: true, Validators: []validator.String{imagePattern()},
				MarkdownDescription: "Regular expression that matches the begin of the image's name; or its whole " +
					"name, or its id. The newest " +
					"active image is taken. A pattern that the instance's image does not match replaces the instance; " +
					"one that it does changes nothing.",
			},
			"image_id":   schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the image that it was made of."},
			"image_name": schema.StringAttribute{Computed: true, MarkdownDescription: "Name of that image."},
			"flavor": schema.StringAttribute{
				Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the flavor." + replacesInstance,
			},
			"network": schema.StringAttribute{
				Optional: true, Computed: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the network, or its id where several have the name. Default: the only " +
					"one that the project sees and " +
					"that is not external." + replacesInstance,
			},
			"groups": schema.SetAttribute{
				Optional: true, Computed: true, ElementType: types.StringType,
				Default:    setdefault.StaticValue(stringSet([]string{"default"})),
				Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(groupName())},
				MarkdownDescription: "Names of its security groups. Default: `default` alone. When they change, what " +
					"is new is added before what " +
					"is old is taken away.",
			},
			"key": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the key pair whose public key root can log in with." + replacesInstance,
			},
			"user_data": schema.StringAttribute{
				Optional: true, Validators: []validator.String{check{"user data", deployed.CheckUserData}},
				MarkdownDescription: "A `#cloud-config` beside the provider's own; what it says of a key of the first " +
					"level counts. It is in " +
					"the state, and every account of the project and every program on the machine can read it: **no " +
					"secret belongs here**. Keys for " +
					"passwords, and private keys, are refused. The whole has at most 64 KiB in base64." + replacesInstance,
			},
			"mirror": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "Archive for the machine's apt. Default: the image's." + replacesInstance,
			},
			"security_mirror": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "Archive of security updates. Default: `mirror`, which is right for Ubuntu; " +
					"Debian has them in another one." +
					replacesInstance,
			},
			"proxy": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "HTTP proxy for the machine's apt. Default: none." + replacesInstance,
			},
			"wait_for": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(deployed.WaitActive),
				Validators: []validator.String{stringvalidator.OneOf(
					deployed.WaitActive, deployed.WaitHostKey, deployed.WaitSSH, deployed.WaitCloudInit)},
				MarkdownDescription: "What is waited for, within `timeouts` (10 minutes for `active`, 20 otherwise, " +
					"unless told). `active`: the " +
					"hypervisor runs it. `host_key`: it has written its ssh keys to its console, which needs no way " +
					"to it. `ssh`: an sshd answers. " +
					"`cloud-init`: that has prepared the machine, asked over ssh. A floating address is attached " +
					"after the instance is there, so " +
					"with one, wait for `active` or `host_key`; services on the machine wait for ssh by themselves. A " +
					"wait that ends without success " +
					"leaves the server there, and the next apply goes on with it. Default: `active`.",
			},
			"ssh": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "How the machine is reached for `wait_for`. Nothing here is written to the machine.",
				Attributes:          instanceAccess(),
			},
			"address": schema.StringAttribute{Computed: true, MarkdownDescription: "Its fixed address in the network."},
			"port_id": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Id of the network port with that address, for a floating IP.",
			},
			"host_key": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "The machine's public key, for the `host_key` of a service's `host`: as the " +
					"machine has written it to its " +
					"console, which is read from the cloud, so nobody on the way to the machine can put another in its place. Null with " +
					"`wait_for = \"active\"`, and where the console does not show it.",
			},
		}),
	}
}

// instanceAccess is the attribute host, but for the address.
func instanceAccess() map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{}
	if host, ok := hostAttribute().(schema.SingleNestedAttribute); ok {
		attributes = host.Attributes
	}
	attributes["address"] = schema.StringAttribute{
		Optional: true, Validators: []validator.String{machineAddress()},
		MarkdownDescription: "Host name or IP address. Default: the instance's floating address, if it has one " +
			"already, or else the fixed one.",
	}
	attributes["host_key"] = schema.StringAttribute{
		Optional: true, Validators: []validator.String{hostKey()},
		MarkdownDescription: "The machine's public key, as a line `ssh-ed25519 AAAA...`. Default: what its console shows, or else what " +
			"`~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts` say. A key is never taken on trust.",
	}
	return attributes
}

var instanceNamePattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$`)

func instanceName() validator.String {
	return check{"an instance's name", func(s string) error {
		if !instanceNamePattern.MatchString(s) {
			return fmt.Errorf("%q: it becomes the machine's host name, so it has letters, digits, dots and dashes, "+
				"and at most 63 of them", s)
		}
		return nil
	}}
}

func imagePattern() validator.String {
	return check{"an image pattern", func(s string) error {
		if s == "" {
			return errors.New("an empty pattern matches every image")
		}
		return openstack.CheckImagePattern(s)
	}}
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

// groupName wants names, as the cloud names them when it is asked which ones a server has.
func groupName() validator.String {
	return check{"a security group's name", func(s string) error {
		if s == "" || uuidPattern.MatchString(s) {
			return fmt.Errorf("%q: write the group's name, not its id", s)
		}
		return nil
	}}
}

// plainURL is a web address without a password in it: user data are no secret.
func plainURL() validator.String {
	return check{"a web address", func(s string) error {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("%q: write it as http://HOST/", s)
		}
		if u.User != nil {
			return errors.New("it has a user or a password in it, and user data can be read by every account of the project")
		}
		return nil
	}}
}

// instanceGone is the status of an instance that somebody has deleted.
const instanceGone = "it is gone: somebody has deleted the server"

func (instanceKind) plan(ctx context.Context, p *planning[instanceModel]) {
	m, stands := p.model, p.state
	anew := stands == nil || stands.Status.ValueString() == instanceGone
	if stands == nil {
		stands = &instanceModel{Region: types.StringNull()}
	}
	m.Region = p.plannedRegion(ctx, m.Cloud, stands.Region)
	keep := func(value types.String) types.String {
		// What was interrupted has not found out everything.
		if anew || value.IsNull() && stands.Status.ValueString() != running {
			return types.StringUnknown()
		}
		return value
	}
	m.ID, m.Address, m.PortID = keep(stands.ID), keep(stands.Address), keep(stands.PortID)
	m.ImageID, m.ImageName = keep(stands.ImageID), keep(stands.ImageName)
	if p.config.Network.IsNull() {
		m.Network = keep(stands.Network)
	}
	m.HostKey = plannedHostKey(m, stands, anew)
	if !anew {
		planReplacement(p)
	}
}

func plannedHostKey(m, stands *instanceModel, anew bool) types.String {
	given := types.StringNull()
	if m.SSH.IsUnknown() {
		given = types.StringUnknown()
	} else if text, ok := m.SSH.Attributes()["host_key"].(types.String); ok {
		given = text
	}
	switch {
	case m.WaitFor.ValueString() == deployed.WaitActive && !m.WaitFor.IsUnknown():
		if anew {
			return types.StringNull()
		}
		return stands.HostKey
	case !given.IsNull():
		return given
	case anew || stands.HostKey.IsNull() && (!m.WaitFor.Equal(stands.WaitFor) || !m.SSH.Equal(stands.SSH)):
		return types.StringUnknown()
	}
	return stands.HostKey
}

// planReplacement says what cannot be changed of a server. Of one that was imported it is not known what it was prepared with.
func planReplacement(p *planning[instanceModel]) {
	m, stands := p.model, p.state
	imported := stands.ImagePattern.IsNull()
	changes := map[string]bool{
		"flavor":  !m.Flavor.Equal(stands.Flavor),
		"network": !m.Network.Equal(stands.Network) && !stands.Network.IsNull(),
		"key":     !m.Key.Equal(stands.Key),
		"image_pattern": !m.ImagePattern.Equal(stands.ImagePattern) && (!imported || !stands.ImageName.IsNull()) &&
			!openstack.MatchesImage(m.ImagePattern.ValueString(), stands.ImageID.ValueString(), stands.ImageName.ValueString()),
		"user_data":       !imported && !m.UserData.Equal(stands.UserData),
		"mirror":          !imported && !m.Mirror.Equal(stands.Mirror),
		"security_mirror": !imported && !m.SecurityMirror.Equal(stands.SecurityMirror),
		"proxy":           !imported && !m.Proxy.Equal(stands.Proxy),
	}
	for name, changed := range changes {
		if changed {
			p.replace(path.Root(name))
		}
	}
}

func (instanceKind) planRemoval(context.Context, *call[instanceModel]) {}

// wantedInstance is what a model asks for.
func (s *settings) wantedInstance(m *instanceModel) (deployed.Instance, error) {
	data, err := deployed.UserData{
		Mirror: m.Mirror.ValueString(), SecurityMirror: m.SecurityMirror.ValueString(), Proxy: m.Proxy.ValueString(),
		Extra: m.UserData.ValueString(),
	}.Render()
	if err != nil {
		return deployed.Instance{}, at(path.Root("user_data"), err)
	}
	groups, _ := stringsOf(m.Groups)
	return deployed.Instance{
		Name: m.Name.ValueString(), Stack: s.stack, ImagePattern: m.ImagePattern.ValueString(), Flavor: m.Flavor.ValueString(),
		Network: m.Network.ValueString(), Key: m.Key.ValueString(), Groups: groups, Data: data,
	}, nil
}

func (instanceKind) ensure(ctx context.Context, c *call[instanceModel]) error {
	region, err := c.project(ctx, c.model.Cloud, c.model.Region.ValueString())
	if err != nil {
		return err
	}
	want, err := c.wantedInstance(c.model)
	if err != nil {
		return err
	}
	made, err := region.EnsureInstance(ctx, want, c.model.ID.ValueString())
	c.model.learn(made)
	if c.model.Region.IsUnknown() {
		c.model.Region = types.StringValue(region.Name())
	}
	if err != nil {
		return atField(err)
	}
	key, err := region.AwaitInstance(ctx, made, c.wait(c.model))
	if c.model.HostKey.IsUnknown() {
		c.model.HostKey = textOrNull(key)
	}
	if err != nil {
		return at(path.Root("wait_for"), err)
	}
	return region.FinishInstance(ctx, &made)
}

// learn fills in what a plan has left open.
func (m *instanceModel) learn(made deployed.Made) {
	for attribute, value := range map[*types.String]string{
		&m.ID: made.ID, &m.ImageID: made.Image, &m.ImageName: made.ImageName, &m.Address: made.Address, &m.PortID: made.Port,
		&m.Network: made.Network,
	} {
		if attribute.IsUnknown() {
			*attribute = textOrNull(value)
		}
	}
}

func (s *settings) wait(m *instanceModel) deployed.Wait {
	text := func(name string) string {
		value, _ := m.SSH.Attributes()[name].(types.String)
		return value.ValueString()
	}
	port, _ := m.SSH.Attributes()["port"].(types.Int64)
	return deployed.Wait{
		For: m.WaitFor.ValueString(),
		Target: machine.Target{
			Address: text("address"), Port: int(port.ValueInt64()), User: text("user"),
			IdentityFile: text("identity_file"), HostKey: text("host_key"),
		},
		Dial: func(ctx context.Context, t machine.Target, patience time.Duration) (*machine.Machine, error) {
			here, ok := s.files.(terraformsFiles)
			if !ok {
				return nil, errors.New("only the provider that Terraform runs reaches instances")
			}
			return here.pool.Machine(ctx, t, patience)
		},
	}
}

func (instanceKind) inspect(ctx context.Context, c *call[instanceModel]) (finding, error) {
	m := c.model
	region, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	seen, err := region.Instance(ctx, m.ID.ValueString(), c.stack, m.Name.ValueString())
	switch {
	case err != nil:
		return unseenCloud(err)
	case seen == nil && m.ID.IsNull():
		return finding{Problem: "its creation was interrupted before the cloud had answered", Absent: true}, nil
	case seen == nil:
		return finding{Problem: instanceGone, Absent: true}, nil
	}
	imported := m.Name.IsNull()
	if imported {
		m.Network, m.WaitFor = textOrNull(seen.Network), types.StringValue(deployed.WaitActive)
	}
	if imported || m.Address.ValueString() != seen.Address {
		if err := region.Complete(ctx, seen); err != nil {
			return unseenCloud(err)
		}
		m.Address, m.PortID = textOrNull(seen.Address), textOrNull(seen.Port)
		m.ImageID, m.ImageName = textOrNull(seen.Image), textOrNull(seen.ImageName)
	}
	return finding{Problem: m.compare(seen, imported)}, nil
}

// compare takes over what was changed, so that a plan shows it, and says it in a sentence, together with why the machine does not run.
func (m *instanceModel) compare(seen *deployed.Seen, imported bool) string {
	var problems []string
	if seen.Trouble != "" {
		problems = append(problems, seen.Trouble)
	}
	note := func(what, is string) {
		if !imported {
			problems = append(problems, what+" was changed to "+is)
		}
	}
	if m.Name.ValueString() != seen.Name {
		note("its name", seen.Name)
	}
	if groups := stringSet(seen.Groups); !m.Groups.Equal(groups) {
		note("its list of groups", strings.Join(seen.Groups, ", "))
		m.Groups = groups
	}
	if m.Flavor.ValueString() != seen.Flavor && seen.Flavor != "" {
		note("its flavor", seen.Flavor)
		m.Flavor = types.StringValue(seen.Flavor)
	}
	m.ID, m.Name, m.Key = types.StringValue(seen.ID), types.StringValue(seen.Name), textOrNull(seen.Key)
	return strings.Join(problems, "; ")
}

func (instanceKind) imported(_ context.Context, c *call[instanceModel]) error { //nolint:unparam // an interface's
	c.model.Groups = types.SetNull(types.StringType)
	c.model.SSH = types.ObjectNull(hostTypes)
	return nil
}

func (instanceKind) remove(ctx context.Context, c *call[instanceModel]) error {
	region, err := c.project(ctx, c.model.Cloud, c.model.Region.ValueString())
	if err != nil {
		return err
	}
	if c.model.ID.IsNull() {
		return region.RemoveUnfinished(ctx, c.stack, c.model.Name.ValueString())
	}
	return region.RemoveInstance(ctx, c.model.ID.ValueString())
}
