package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// hostTypes are those of the attribute host. To a resource the attribute means nothing: where it says another machine, the
// provider on that machine does the work (see package forward).
var hostTypes = map[string]attr.Type{
	"address":       types.StringType,
	"port":          types.Int64Type,
	"user":          types.StringType,
	"identity_file": types.StringType,
	"host_key":      types.StringType,
}

// hostAttribute is the machine that a service is on.
func hostAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Another machine that the service is put on, reached by ssh. Default: the one that Terraform runs on. A " +
			"copy of the provider works there; see *Several machines* on the provider's page. Another `address` replaces the service.",
		PlanModifiers: []planmodifier.Object{
			objectplanmodifier.RequiresReplaceIf(func(_ context.Context, req planmodifier.ObjectRequest,
				resp *objectplanmodifier.RequiresReplaceIfFuncResponse) {
				resp.RequiresReplace = !addressOf(req.StateValue).Equal(addressOf(req.PlanValue))
			}, "Another machine is another service.", "Another machine is another service."),
		},
		Attributes: map[string]schema.Attribute{
			"address": schema.StringAttribute{
				Required: true, MarkdownDescription: "Host name or IP address.", Validators: []validator.String{machineAddress()},
			},
			"port": schema.Int64Attribute{
				Optional: true, MarkdownDescription: fmt.Sprintf("Port of its sshd. Default: %d.", machine.DefaultPort),
				Validators: []validator.Int64{int64validator.Between(1, 65535)},
			},
			"user": schema.StringAttribute{
				Optional: true, Validators: []validator.String{userName()},
				MarkdownDescription: "User to log in as. Root puts services below another account, anybody else runs them as themselves. " +
					"Default: `" + machine.DefaultUser + "`.",
			},
			"identity_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{absolutePath()},
				MarkdownDescription: "Path of the private key on the machine where Terraform runs. One with a passphrase is used from " +
					"the ssh agent. Default: the keys of the agent (`SSH_AUTH_SOCK`), `~/.ssh/id_ed25519`, `id_ecdsa` and `id_rsa`.",
			},
			"host_key": schema.StringAttribute{
				Optional: true, Validators: []validator.String{hostKey()},
				MarkdownDescription: "The machine's public key, as a line `ssh-ed25519 AAAA...`; no other is believed. Default: what " +
					"`~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts` say. A key is never taken on trust.",
			},
		},
	}
}

func addressOf(host types.Object) attr.Value {
	switch {
	case host.IsUnknown():
		return types.StringUnknown()
	case host.IsNull():
		return types.StringNull()
	}
	return host.Attributes()["address"]
}

// elsewhere says whether the service will be on a machine of which nothing is known yet: a plan leaves open what only that one
// could tell.
func (m *serviceModel) elsewhere() bool {
	if m.Host.IsUnknown() {
		return true
	}
	for _, value := range m.Host.Attributes() {
		if value.IsUnknown() {
			return true
		}
	}
	return false
}

// rerouted says whether the way to the service's machine changes, and with it the names of the files there.
func (m *serviceModel) rerouted(from *serviceModel) bool {
	return from != nil && !m.Host.Equal(from.Host)
}

// hostOf is a machine as configurations write it: what is as always is left out.
func hostOf(t machine.Target) types.Object {
	port := types.Int64Null()
	if t.Port != 0 && t.Port != machine.DefaultPort {
		port = types.Int64Value(int64(t.Port))
	}
	user := textOrNull(t.User)
	if t.User == machine.DefaultUser {
		user = types.StringNull()
	}
	return object(hostTypes, values{
		"address": types.StringValue(t.Address), "port": port, "user": user,
		"identity_file": textOrNull(t.IdentityFile), "host_key": textOrNull(t.HostKey),
	})
}

var addressPattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$|^[0-9a-fA-F:.]+(%[a-zA-Z0-9]+)?$`)

func machineAddress() validator.String {
	return check{"the address of a machine", func(s string) error {
		if !addressPattern.MatchString(s) {
			return fmt.Errorf("%q: write a host name or an IP address alone; user and port have attributes of their own", s)
		}
		return nil
	}}
}

var userNamePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9._-]*\$?$`)

func userName() validator.String {
	return check{"a user's name", func(s string) error {
		if !userNamePattern.MatchString(s) {
			return fmt.Errorf("%q is no name that a user can have", s)
		}
		return nil
	}}
}

func hostKey() validator.String {
	return check{"a machine's public key", func(s string) error {
		_, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(s))
		if err != nil || len(rest) > 0 || strings.Contains(s, "PRIVATE") {
			return errors.New("write it as one line ssh-ed25519 AAAA..., as the machine's /etc/ssh/ssh_host_ed25519_key.pub has it")
		}
		return nil
	}}
}

// fileName accepts a path, and the name of a file on another machine.
func fileName() validator.String {
	return check{"an absolute path or ssh://USER@HOST:PORT/PATH", func(s string) error {
		if machine.IsFar(s) {
			_, _, err := machine.ParseFile(s)
			return err
		}
		return checkAbsolute(s)
	}}
}
