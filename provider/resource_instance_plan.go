package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

func (instanceKind) plan(ctx context.Context, p *planning[instanceModel]) {
	m, stands := p.model, p.state
	anew := stands == nil || stands.Status.ValueString() == instanceGone
	if stands == nil {
		stands = &instanceModel{Region: types.StringNull()}
	}
	m.Region = p.plannedRegion(ctx, m.Cloud, stands.Region, openstack.Compute, openstack.Network)
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
