package provider

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

type brokerUserModel struct {
	baseModel
	Broker          types.Object `tfsdk:"broker"`
	TLSEndpoint     types.Object `tfsdk:"tls_endpoint"`
	AdvertisedHost  types.String `tfsdk:"advertised_host"`
	Name            types.String `tfsdk:"name"`
	Role            types.String `tfsdk:"role"`
	Permissions     types.Object `tfsdk:"permissions"`
	MaxConnections  types.Int64  `tfsdk:"max_connections"`
	MaxChannels     types.Int64  `tfsdk:"max_channels"`
	CredentialsFile types.String `tfsdk:"credentials_file"`
	ShellFile       types.String `tfsdk:"shell_file"`
	Owner           types.String `tfsdk:"owner"`
	Rotation        types.String `tfsdk:"rotation"`
	Grace           types.String `tfsdk:"grace"`
	GraceIdle       types.String `tfsdk:"grace_idle"`
	Username        types.String `tfsdk:"username"`
}

type brokerUserKind struct{}

func newBrokerUser() resource.Resource {
	return &managed[brokerUserModel]{kind: brokerUserKind{}, mutableIdentity: true}
}

func (brokerUserKind) typeName() string                                    { return "broker_user" }
func (brokerUserKind) base(m *brokerUserModel) *baseModel                  { return &m.baseModel }
func (brokerUserKind) well() string                                        { return inPlace }
func (brokerUserKind) patience(*brokerUserModel) time.Duration             { return patienceWithBroker }
func (brokerUserKind) planRemoval(context.Context, *call[brokerUserModel]) {}

func (brokerUserKind) identity(m *brokerUserModel) []identityValue {
	return []identityValue{
		brokerIdentity(m.Broker),
		{name: "name", description: "Name of the user.", value: m.Name},
	}
}

func (brokerUserKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: brokerUserText,
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"broker":          brokerAttribute(),
			"tls_endpoint":    userEndpointAttribute(),
			"advertised_host": advertisedHostAttribute(),
			"name": schema.StringAttribute{
				Required: true, MarkdownDescription: "Name of the user.",
				Validators:    []validator.String{brokerUserName()},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"role": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "What the user is for, and with it the least rights that this takes; or else `permissions`. The " +
					"roles are described above.",
				Validators: []validator.String{
					stringvalidator.OneOf(roleNames()...), stringvalidator.AtLeastOneOf(path.MatchRoot("permissions")),
				},
			},
			"permissions":     permissionsAttribute(),
			"max_connections": userLimitAttribute(connectionsText, leastConnections),
			"max_channels":    userLimitAttribute(channelsText, leastChannels),
			"credentials_file": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Path of the 0600 file on this machine that holds the user's credentials as one line " +
					"`KEY = amqp://USER:PASSWORD@HOST`; with `tls_endpoint` it is `amqps://`, and a second line `ca_file = PATH` " +
					"names the authority's certificate. The key is `ADT_AMQP` for a requester, so that the line can be put into " +
					"britney's configuration, otherwise `uri`. Default: `credentials/NAME` below the provider's `directory`.",
				Validators:    []validator.String{absolutePath()},
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"shell_file": shellFileAttribute(),
			"rotation":   rotationAttribute(),
			"grace":      graceAttribute(),
			"grace_idle": graceIdleAttribute(),
			"username": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "The user of the broker whose credentials are in the file: the name, or `NAME-ROTATION`; with " +
					"`~1`, `~2` and so on behind it when it was rotated by `autopkgtest-cloud rotate`, or when that name had been " +
					"used before. An output of it shows such a rotation in the next plan, as a change of the output alone.",
			},
			"owner": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Account that owns the credentials file and so may read it, for example britney's. Only root can " +
					"give files away. Default: the stack's account.",
			},
		}),
	}
}

func (brokerUserKind) plan(ctx context.Context, p *planning[brokerUserModel]) {
	p.model.warnOfPatterns(ctx, p.diags)
	p.model.warnOfGrace(p.diags)
	if p.state == nil || !p.state.TLSEndpoint.Equal(p.model.TLSEndpoint) {
		p.model.planEndpoint(ctx, p.diags)
	}
	p.model.checkLimits(ctx, p)
	p.model.Username = types.StringUnknown()
	if p.state != nil && p.state.Rotation.Equal(p.model.Rotation) && p.state.Status.ValueString() == inPlace {
		p.model.Username = p.state.Username
	}
	if p.config.CredentialsFile.IsNull() && (p.state == nil || p.state.CredentialsFile.IsNull()) {
		switch {
		case p.directory.IsUnknown():
			p.model.CredentialsFile = types.StringUnknown()
		case p.directory.IsNull():
			p.diags.AddAttributeError(path.Root("credentials_file"), "No place for the password",
				"Set credentials_file, or the provider's directory, below which it is credentials/NAME.")
		case !p.model.Name.IsUnknown():
			p.model.CredentialsFile = types.StringValue(filepath.Join(p.directory.ValueString(), "credentials",
				p.model.Name.ValueString()))
		}
	}
	p.model.planShellFile()
	if p.model.renews(p.state) {
		p.renew(p.model.files()...)
	}
}

func (brokerUserKind) ensure(ctx context.Context, c *call[brokerUserModel]) error {
	// Before the broker has a user whose password nobody gets.
	if err := checkOwner(c.model.Owner.ValueString()); err != nil {
		return at(path.Root("owner"), err)
	}
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.readyBroker(ctx, b)
	if err != nil {
		return err
	}
	family, err := client.Family(ctx, c.model.Name.ValueString())
	if err != nil {
		return err
	}
	held, err := heldAccount(c, family)
	if err != nil {
		return err
	}
	chosen := family.Choose(c.model.Rotation.ValueString(), held.Username)
	if client.Username() == chosen.Name() || client.Username() == c.model.Name.ValueString() {
		return at(path.Root("name"), &problem{
			title:  fmt.Sprintf("The user %q is the administrator that this resource works as", client.Username()),
			detail: "It would take its own rights away. Give this user another name.",
		})
	}
	account := held
	if chosen.Name() != held.Username {
		account = brokerAccount{Username: chosen.Name(), Password: config.NewSecret()}
	}
	wanted := c.model.rights(ctx)
	account = c.model.leading(ctx, account)
	if err := ensureUser(ctx, client, account, wanted.of(chosen)); err != nil {
		return err
	}
	// Whoever reads the file can use it, whatever becomes of the broker meanwhile. An interruption before that costs nothing:
	// nobody has the new password yet, and the next apply makes another one.
	if err := client.Sync(ctx); err != nil {
		return err
	}
	if err := c.handOutAuthority(ctx, c.model); err != nil {
		return err
	}
	if management.Role(c.model.Role.ValueString()) == management.Requester {
		// Before anybody gets the file: credentials that do not work must not take the place of those that do.
		err := proveRequester(ctx, client, c.model.seenInside(ctx, account), c.diags)
		if err != nil && c.prior == nil && held.Username == "" {
			err = errors.Join(err, c.withdrawFiles(ctx, c.model.withAuthority(ctx), c.model.files()))
		}
		if err != nil {
			return err
		}
	}
	if err := c.handOut(ctx, c.model, account, wanted.key); err != nil {
		return err
	}
	c.model.Username = types.StringValue(account.Username)
	if err := retire(ctx, client, family.Others(account.Username), wanted, c.model.grace()); err != nil {
		return err
	}
	if c.prior == nil {
		return nil
	}
	return c.withdrawFiles(ctx, c.prior.withAuthority(ctx), c.model.withAuthority(ctx))
}

// ensureUser changes of a user only what is not as it should be, so that a user whose password is right keeps its hash and
// its connections.
func ensureUser(ctx context.Context, client *management.Client, account brokerAccount, wanted userRights) error {
	there, err := lookUser(ctx, client, account.Username)
	if err != nil {
		return err
	}
	right := there != nil && there.HasPassword(account.Password)
	if there != nil && !there.Ours() && !right {
		return at(path.Root("name"), &problem{
			title: fmt.Sprintf("The broker has a user %q that was not made by this provider", account.Username),
			detail: "Its password is not known here and would be lost. Choose another name, remove the user " +
				"(rabbitmqctl delete_user " + account.Username + "), or put its credentials into the credentials file.",
		})
	}
	if there != nil && there.Ours() && !wanted.sameFamily(*there) {
		return at(path.Root("name"), &problem{
			title:  fmt.Sprintf("The broker's user %q belongs to another autopkgtest_broker_user", account.Username),
			detail: "One of the two is a generation of its user. Choose another name, or another word for the rotation.",
		})
	}
	if !right || !sameTags(there.Tags, wanted.tags) {
		user := management.User{Name: account.Username, PasswordHash: management.HashPassword(account.Password), Tags: wanted.tags}
		if right {
			user.PasswordHash, user.Algorithm = there.PasswordHash, there.Algorithm
		}
		if err := client.PutUser(ctx, user); err != nil {
			return err
		}
	}
	err = client.PutPermissions(ctx, account.Username, wanted.permissions)
	if errors.Is(err, management.ErrRefused) && there == nil {
		// A pattern that the broker does not understand: nothing half done is left behind.
		return at(path.Root("permissions"), errors.Join(err, client.DeleteUser(ctx, account.Username)))
	}
	if errors.Is(err, management.ErrRefused) {
		return at(path.Root("permissions"), err)
	}
	if err != nil {
		return err
	}
	return putUserLimits(ctx, client, account.Username, wanted.limits)
}

func (brokerUserKind) inspect(ctx context.Context, c *call[brokerUserModel]) (finding, error) {
	name := c.model.Name.ValueString()
	account, problem, err := readAccount(c.model)
	if err != nil || problem != "" {
		return finding{Problem: problem}, err
	}
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	if err != nil {
		return unseenBroker(err, "the user "+name)
	}
	family, err := client.Family(ctx, name)
	if err != nil {
		return unseenBroker(err, "the user "+name)
	}
	if !family.Knows(account.Username, c.model.Rotation.ValueString()) {
		file := c.model.CredentialsFile.ValueString()
		return finding{Problem: "the password file " + file + " holds the credentials of another user"}, nil
	}
	// Somebody may have rotated with the command, which is as good.
	c.model.Username = types.StringValue(account.Username)
	problem, err = userProblem(ctx, client, family, account, c.model.rights(ctx))
	if err == nil && problem == "" {
		problem, err = generationProblem(ctx, client, family, account.Username)
	}
	if err == nil && problem == "" {
		problem, err = c.model.shellProblem(account)
	}
	if err == nil && problem == "" {
		problem, err = c.model.authorityProblem(ctx)
	}
	if err != nil {
		return unseenBroker(err, "the user "+name)
	}
	if problem == "" && !sameEnd(account, c.model.leading(ctx, account)) {
		problem = fmt.Sprintf("the file %s leads to another broker", c.model.CredentialsFile.ValueString())
	}
	return finding{Problem: problem}, nil
}

// userProblem compares what the broker has with what it should have.
func userProblem(ctx context.Context, client *management.Client, family management.Family, account brokerAccount, wanted userRights,
) (string, error) {
	there, found := family.Member(account.Username)
	switch {
	case !found:
		// Not one of ours any more, or not there.
		user, err := lookUser(ctx, client, account.Username)
		if err != nil || user == nil {
			return "the user is missing in the broker", err
		}
		return "the user has the tags " + strings.Join(user.Tags, ", "), nil
	case !there.Account.HasPassword(account.Password):
		return "the broker has another password than the credentials file", nil
	case !sameTags(there.Account.Tags, wanted.of(there.Generation).tags):
		return "the user has the tags " + strings.Join(there.Account.Tags, ", "), nil
	}
	permissions, err := lookPermissions(ctx, client, account.Username)
	if err != nil {
		return "", err
	}
	if permissions == wanted.permissions {
		return userLimitsProblem(ctx, client, account.Username, wanted.limits)
	}
	return fmt.Sprintf("the user may configure %q, write %q and read %q, which is not what %s",
		permissions.Configure, permissions.Write, permissions.Read, wanted.reason), nil
}

func (brokerUserKind) remove(ctx context.Context, c *call[brokerUserModel]) error {
	name := c.model.Name.ValueString()
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	if err == nil {
		err = c.removeUser(ctx, client, name)
	}
	if _, err := leftBehind(c, err, "The user "+name); err != nil {
		return err
	}
	return c.withdrawFiles(ctx, c.model.withAuthority(ctx), nil)
}

// removeUser removes all generations of a user.
func (c *call[M]) removeUser(ctx context.Context, client *management.Client, name string) error {
	family, err := client.Family(ctx, name)
	if err != nil {
		return err
	}
	for _, m := range family.Members {
		if err := client.DeleteUser(ctx, m.Name()); err != nil {
			return err
		}
	}
	if _, member := family.Member(name); !member {
		there, err := lookUser(ctx, client, name)
		if err != nil || there == nil || there.Ours() {
			return err
		}
		c.diags.AddWarning("The user "+name+" stays in the broker",
			"Somebody has changed it since: it no longer bears this provider's mark.")
	}
	return nil
}
