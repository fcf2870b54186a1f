package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

type keyPairModel struct {
	baseModel
	Cloud          types.Object `tfsdk:"cloud"`
	Region         types.String `tfsdk:"region"`
	Name           types.String `tfsdk:"name"`
	WorkerConf     types.String `tfsdk:"worker_conf"`
	PrivateKeyFile types.String `tfsdk:"private_key_file"`
	Owner          types.String `tfsdk:"owner"`
	PublicKey      types.String `tfsdk:"public_key"`
	PublicKeyFile  types.String `tfsdk:"public_key_file"`
	Fingerprint    types.String `tfsdk:"fingerprint"`
}

type keyPairKind struct{}

func newKeyPair() resource.Resource {
	return &managed[keyPairModel]{kind: keyPairKind{}, mutableIdentity: true}
}

func (keyPairKind) typeName() string                                 { return "keypair" }
func (keyPairKind) base(m *keyPairModel) *baseModel                  { return &m.baseModel }
func (keyPairKind) well() string                                     { return inPlace }
func (keyPairKind) patience(*keyPairModel) time.Duration             { return 3 * time.Minute }
func (keyPairKind) planRemoval(context.Context, *call[keyPairModel]) {}

func (keyPairKind) identity(m *keyPairModel) []identityValue {
	return []identityValue{
		{name: "region", description: cloudRegionText, value: m.Region},
		{name: "name", description: "Name of the key pair.", value: m.Name},
	}
}

func (keyPairKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: keyPairText,
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"cloud":  cloudAccessAttribute(),
			"region": schema.StringAttribute{Computed: true, MarkdownDescription: cloudRegionText},
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{keyPairName(), stringvalidator.AtLeastOneOf(path.MatchRoot("worker_conf"))},
				MarkdownDescription: "Name of the key pair. Default: the one in `worker_conf`. Another name is another key pair.",
			},
			"worker_conf": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "A worker's `worker.conf`, an absolute path or `ssh://USER@HOST:PORT/PATH`, whose option " +
					"`--keyname` names the key pair: in `[nova] novaopts`, or in `[virt] args`. With `name`, both have to be the same.",
			},
			"private_key_file": schema.StringAttribute{
				Optional: true,
				Validators: []validator.String{absolutePath(), stringvalidator.ExactlyOneOf(
					path.MatchRoot("public_key"), path.MatchRoot("public_key_file"))},
				MarkdownDescription: "Path of the private key on the machine where Terraform runs, mode 0600. Where there is no file, a " +
					"key of the kind ed25519 is made, and removed with the resource; a key that is there is used and stays. Or else " +
					"`public_key`, or `public_key_file`.",
			},
			"owner": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.AlsoRequires(path.MatchRoot("private_key_file"))},
				MarkdownDescription: "Account that owns the private key's file and so may read it: the worker's. Only root can give " +
					"files away. Default: the stack's account in a stack's folder, elsewhere whoever runs Terraform.",
			},
			"public_key": schema.StringAttribute{
				Optional: true, Computed: true, Validators: []validator.String{publicKey()},
				MarkdownDescription: "The public key, as a line `ssh-ed25519 AAAA... COMMENT`. Default: that of the file.",
			},
			"public_key_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Path of a file with that line, or `ssh://USER@HOST:PORT/PATH`.",
			},
			"fingerprint": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Fingerprint of the key, as `openstack keypair show` prints it.",
			},
		}),
	}
}

const keyPairText = "A key pair of Nova, by which a worker reaches the testbeds that it boots: one for each machine with a worker and " +
	"each region. It belongs to the user that the cloud is reached with, and only that user's servers can have it.\n\n" +
	"The private key never leaves its file: it is made on the machine where Terraform runs, and neither state, plan nor log has it. " +
	"A worker that boots testbeds with the key pair needs the file on its own machine.\n\n" +
	"A key pair of the same name that has the same key is adopted. One with another key is refused when the resource is made, since " +
	"somebody may use it. From then on the name is this resource's: a key pair that somebody has removed or replaced is made anew " +
	"with the right key. When the private key is lost, or could be read by others, the next plan says so, and its apply makes another " +
	"one and replaces the key pair; servers that are running keep the old key."

func keyPairName() validator.String { return check{"a key pair's name", checkKeyPairName} }

var keyPairPattern = regexp.MustCompile(`^[A-Za-z0-9_ -]{1,255}$`)

func checkKeyPairName(s string) error {
	if !keyPairPattern.MatchString(s) {
		return fmt.Errorf("%q: Nova takes names of letters, digits, spaces, dashes and underscores, at most 255 of them", s)
	}
	return nil
}

func publicKey() validator.String {
	return check{"a public key", func(s string) error {
		_, err := deployed.ParsePublicKey(s)
		return err
	}}
}

func (keyPairKind) plan(ctx context.Context, p *planning[keyPairModel]) {
	m, stands := p.model, p.state
	region := types.StringNull()
	if stands != nil {
		region = stands.Region
	}
	m.Region = p.plannedRegion(ctx, m.Cloud, region, openstack.Compute)
	name, known, err := p.keyPairNameOf(ctx, p.config.Name, m.WorkerConf)
	switch {
	case err != nil:
		explain(p.diags, "Could not plan the key pair", err)
		return
	case known:
		m.Name = types.StringValue(name)
	case !p.config.Name.IsNull():
		m.Name = p.config.Name
	case stands != nil && !m.WorkerConf.IsUnknown():
		m.Name = stands.Name
	default:
		m.Name = types.StringUnknown()
	}
	if stands != nil && !m.Name.Equal(stands.Name) {
		p.replace(path.Root("name"))
	}
	key, why, _, err := p.keyOf(ctx, m, p.config.PublicKey)
	if err != nil {
		explain(p.diags, "Could not plan the key pair", err)
		return
	}
	switch {
	case key == nil || stands == nil && !m.PrivateKeyFile.IsNull():
		// A replacement removes the file that is there now.
		if p.config.PublicKey.IsNull() {
			m.PublicKey = types.StringUnknown()
		}
		m.Fingerprint = types.StringUnknown()
	default:
		m.Fingerprint = types.StringValue(key.Fingerprint())
		switch {
		case !p.config.PublicKey.IsNull():
		case stands != nil && stands.Fingerprint.Equal(m.Fingerprint) && !stands.PublicKey.IsNull():
			m.PublicKey = stands.PublicKey
		default:
			m.PublicKey = types.StringValue(key.Line())
		}
	}
	if stands != nil && why != "" {
		p.diags.AddAttributeWarning(path.Root("private_key_file"), "Another key is made, and the key pair replaced",
			"Since "+why+". Whoever needs the private key has to get the new one; servers that are running know only the old one.")
	}
}

func (keyPairKind) ensure(ctx context.Context, c *call[keyPairModel]) error {
	m := c.model
	in, given, plannedKey := m.Region.ValueString(), m.Name, m.PublicKey
	for _, text := range []*types.String{&m.Region, &m.Name, &m.PublicKey, &m.Fingerprint} { // an interruption must not leave them unknown
		if text.IsUnknown() {
			*text = types.StringNull()
		}
	}
	if err := checkOwner(m.Owner.ValueString()); err != nil {
		return at(path.Root("owner"), err)
	}
	if given.IsUnknown() {
		given = types.StringNull()
	}
	name, known, err := c.keyPairNameOf(ctx, given, m.WorkerConf)
	if err != nil {
		return err
	}
	if !known && c.prior != nil && c.prior.Name.Equal(given) {
		name, known = given.ValueString(), true // it was in the file when the key pair was made
	}
	if !known {
		return at(path.Root("worker_conf"), &problem{
			title:  "There is no " + m.WorkerConf.ValueString(),
			detail: "The name of the key pair is read from it: write the file first, or set name.",
		})
	}
	m.Name = types.StringValue(name)
	project, err := c.project(ctx, m.Cloud, in)
	if err != nil {
		return err
	}
	m.Region = types.StringValue(project.Name())
	file := m.PrivateKeyFile.ValueString()
	if file != "" {
		defer c.keyFiles.Take(file)()
	}
	key, _, wait, err := c.keyOf(ctx, m, plannedKey)
	if err != nil {
		return err
	}
	if wait {
		return at(path.Root("public_key_file"), &problem{
			title: "There is no " + m.PublicKeyFile.ValueString(), detail: "Write the public key into it, or set public_key.",
		})
	}
	if key != nil && file != "" {
		if err := c.hand(ctx, m); err != nil {
			return err
		}
	}
	ours := c.prior != nil && c.prior.Fingerprint.ValueString() != "" && c.prior.Name.ValueString() == name
	made, err := project.EnsureKeyPair(ctx, name, ours, key, func() (deployed.PublicKey, error) {
		content, public, err := deployed.NewPrivateKey(deployed.KeyMark(c.stack, name))
		if err == nil {
			err = c.writeSecretFile(ctx, file, content, m.Owner.ValueString())
		}
		return public, at(path.Root("private_key_file"), err)
	})
	if err != nil {
		return atField(err)
	}
	if plannedKey.ValueString() == "" {
		m.PublicKey = types.StringValue(made.Line())
	}
	m.Fingerprint = types.StringValue(made.Fingerprint())
	if c.prior == nil || c.prior.PrivateKeyFile.Equal(m.PrivateKeyFile) {
		return nil
	}
	return c.removeKeyFile(ctx, c.prior.PrivateKeyFile.ValueString())
}

func (keyPairKind) inspect(ctx context.Context, c *call[keyPairModel]) (finding, error) {
	m := c.model
	imported := m.Status.IsNull()
	wanted := m.Fingerprint.ValueString()
	if file := m.PrivateKeyFile.ValueString(); file != "" {
		key, why, err := c.privateKeyOf(file)
		var unusable *problem
		switch {
		case errors.As(err, &unusable):
			return finding{Problem: "the private key: " + unusable.Error()}, nil
		case err != nil:
			return finding{}, err
		case why != "":
			return finding{Problem: why + ": another one will be made"}, nil
		case wanted != "" && key.Public.Fingerprint() != wanted:
			return finding{Problem: "the private key " + file + " is another one, with the fingerprint " + key.Public.Fingerprint()}, nil
		}
		switch right, err := ownedBy(file, m.Owner.ValueString()); {
		case err != nil:
			return finding{Problem: "the private key: " + err.Error()}, nil //nolint:nilerr // an owner that is gone is what is wrong
		case !right:
			return finding{Problem: "the private key " + file + " belongs to another account than " + m.Owner.ValueString()}, nil
		}
	}
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	there, err := project.LookAtKeyPair(ctx, m.Name.ValueString())
	switch {
	case err != nil:
		return unseenCloud(err)
	case there == nil:
		return finding{Problem: "the region has no such key pair", Absent: true}, nil
	case imported:
		m.PublicKey, m.Fingerprint = textOrNull(there.PublicKey), types.StringValue(there.Fingerprint)
		return finding{}, nil
	case wanted == "":
		return finding{Problem: "its creation was interrupted"}, nil
	case there.Fingerprint != wanted:
		return finding{Problem: "the key pair has another key, with the fingerprint " + there.Fingerprint}, nil
	}
	return finding{}, nil
}

func (keyPairKind) imported(context.Context, *call[keyPairModel]) error { return nil }

func (keyPairKind) remove(ctx context.Context, c *call[keyPairModel]) error {
	m := c.model
	if fingerprint := m.Fingerprint.ValueString(); fingerprint != "" {
		project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
		if err != nil {
			return err
		}
		stays, err := project.RemoveKeyPair(ctx, m.Name.ValueString(), fingerprint)
		if err != nil {
			return err
		}
		if stays != nil {
			c.diags.AddWarning("The key pair "+stays.Name+" stays in the region",
				"Somebody has given it another key since, with the fingerprint "+stays.Fingerprint+". If nobody needs it: "+
					"openstack keypair delete "+stays.Name)
		}
	}
	return c.removeKeyFile(ctx, m.PrivateKeyFile.ValueString())
}
