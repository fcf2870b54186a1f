package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

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
				MarkdownDescription: "Name of the server, and of the machine at its first boot. A change renames the server; " +
					"the machine goes on with the name that it has.",
			},
			"image_pattern": schema.StringAttribute{
				Required: true, Validators: []validator.String{imagePattern()},
				MarkdownDescription: "Regular expression that matches the begin of the image's name; or its whole name, or its " +
					"id. The newest active image is taken. A pattern that the instance's image does not match replaces the " +
					"instance; one that it does changes nothing.",
			},
			"image_id":   schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the image that it was made of."},
			"image_name": schema.StringAttribute{Computed: true, MarkdownDescription: "Name of that image."},
			"flavor": schema.StringAttribute{
				Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the flavor." + replacesInstance,
			},
			"network": schema.StringAttribute{
				Optional: true, Computed: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the network, or its id where several have the name. Default: the only one that " +
					"the project sees and that is not external." + replacesInstance,
			},
			"groups": schema.SetAttribute{
				Optional: true, Computed: true, ElementType: types.StringType,
				Default:    setdefault.StaticValue(stringSet([]string{"default"})),
				Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(groupName())},
				MarkdownDescription: "Names of its security groups. Default: `default` alone. When they change, what is new is " +
					"added before what is old is taken away.",
			},
			"key": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name of the key pair whose public key root can log in with." + replacesInstance,
			},
			"user_data": schema.StringAttribute{
				Optional: true, Validators: []validator.String{check{"user data", deployed.CheckUserData}},
				MarkdownDescription: "A `#cloud-config` beside the provider's own; what it says of a key of the first level " +
					"counts. It is in the state, and every account of the project and every program on the machine can read " +
					"it: **no secret belongs here**. Keys for passwords, and private keys, are refused. The whole has at most " +
					"64 KiB in base64." + replacesInstance,
			},
			"mirror": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "Archive for the machine's apt. Default: the image's." + replacesInstance,
			},
			"security_mirror": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "Archive of security updates. Default: `mirror`, which is right for Ubuntu; Debian has them " +
					"in another one." + replacesInstance,
			},
			"proxy": schema.StringAttribute{
				Optional: true, Validators: []validator.String{plainURL()},
				MarkdownDescription: "HTTP proxy for the machine's apt. Default: none." + replacesInstance,
			},
			"wait_for": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(deployed.WaitActive),
				Validators: []validator.String{stringvalidator.OneOf(
					deployed.WaitActive, deployed.WaitHostKey, deployed.WaitSSH, deployed.WaitCloudInit)},
				MarkdownDescription: "What is waited for, within `timeouts` (10 minutes for `active`, 20 otherwise, unless " +
					"told). `active`: the hypervisor runs it. `host_key`: it has written its ssh keys to its console, which " +
					"needs no way to it. `ssh`: an sshd answers. `cloud-init`: that has prepared the machine, asked over ssh. " +
					"A floating address is attached after the instance is there, so with one, wait for `active` or `host_key`; " +
					"services on the machine wait for ssh by themselves. A wait that ends without success leaves the server " +
					"there, and the next apply goes on with it. Default: `active`.",
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
				MarkdownDescription: "The machine's public key, for the `host_key` of a service's `host`: as the machine has " +
					"written it to its console, which is read from the cloud, so nobody on the way to the machine can put " +
					"another in its place. Null with `wait_for = \"active\"`, and where the console does not show it.",
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
