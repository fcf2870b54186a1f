package openstack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/pagination"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// What is said to Neutron, one request each. gophercloud's own types cannot tell a port or an ICMP type 0 from none.

const groupResource = "security-groups"

type groupAnswer struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Tags        []string     `json:"tags"`
	Rules       []ruleAnswer `json:"security_group_rules"`
}

type ruleAnswer struct {
	ID           string  `json:"id"`
	Description  string  `json:"description"`
	Direction    string  `json:"direction"`
	EtherType    string  `json:"ethertype"`
	Protocol     *string `json:"protocol"`
	First        *int    `json:"port_range_min"`
	Last         *int    `json:"port_range_max"`
	CIDR         *string `json:"remote_ip_prefix"`
	RemoteGroup  *string `json:"remote_group_id"`
	AddressGroup *string `json:"remote_address_group_id"`
}

func (a groupAnswer) group() Group {
	g := Group{ID: a.ID, Name: a.Name, Description: a.Description, Tags: a.Tags}
	for _, r := range a.Rules {
		g.Rules = append(g.Rules, PlacedRule{Rule: r.rule(a.ID), ID: r.ID, Description: r.Description})
	}
	return g
}

// rule brings it into canonical form. What that does not know is kept as the cloud says it: nothing that is wanted is equal to it.
func (a ruleAnswer) rule(group string) Rule {
	r := Rule{
		Direction: a.Direction, EtherType: a.EtherType, Protocol: text(a.Protocol), First: NoPort, Last: NoPort,
		CIDR: text(a.CIDR), RemoteGroup: text(a.RemoteGroup), AddressGroup: text(a.AddressGroup),
	}
	if a.First != nil {
		r.First = *a.First
	}
	if a.Last != nil {
		r.Last = *a.Last
	}
	if cidr, _, err := canonicalCIDR(r.CIDR, r.EtherType); err == nil {
		r.CIDR = cidr
	}
	if protocol, err := canonicalProtocol(r.Protocol, r.EtherType); err == nil {
		r.Protocol = protocol
	}
	if !isICMP(r.Protocol) && r.First <= 1 && r.Last == lastPort {
		r.First, r.Last = NoPort, NoPort
	}
	if r.RemoteGroup == group {
		r.RemoteGroup = Self
	}
	return r
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ruleRequest is a rule to make.
type ruleRequest struct {
	group       string
	rule        Rule
	description string
}

// ToSecGroupRuleCreateMap implements rules.CreateOptsBuilder.
func (r ruleRequest) ToSecGroupRuleCreateMap() (map[string]any, error) {
	fields := map[string]any{
		"security_group_id": r.group, "direction": r.rule.Direction, "ethertype": r.rule.EtherType, "description": r.description,
	}
	remote := r.rule.RemoteGroup
	if remote == Self {
		remote = r.group
	}
	for name, value := range map[string]string{"protocol": r.rule.Protocol, "remote_ip_prefix": r.rule.CIDR, "remote_group_id": remote} {
		if value != "" {
			fields[name] = value
		}
	}
	for name, value := range map[string]int{"port_range_min": r.rule.First, "port_range_max": r.rule.Last} {
		if value != NoPort {
			fields[name] = value
		}
	}
	return map[string]any{"security_group_rule": fields}, nil
}

// Groups are the project's security groups with their rules.
func (i *Inventory) Groups(ctx context.Context) ([]Group, error) {
	return i.groups.all(ctx, i.listGroups)
}

func (i *Inventory) listGroups(ctx context.Context) ([]Group, error) {
	return cloud.List(ctx, i.Region, cloud.Network, func(client *gophercloud.ServiceClient) pagination.Pager {
		return groups.List(client, groups.ListOpts{ProjectID: cloud.ProjectOf(client)})
	}, extractGroups)
}

func extractGroups(all pagination.Page) (found []Group, err error) {
	page, is := all.(groups.SecGroupPage)
	if !is {
		return nil, fmt.Errorf("a list of security groups is a %T", all)
	}
	var answer struct {
		Groups []groupAnswer `json:"security_groups"`
	}
	err = page.ExtractInto(&answer)
	for _, a := range answer.Groups {
		found = append(found, a.group())
	}
	return found, err
}

func (i *Inventory) getGroup(ctx context.Context, id string) (found Group, err error) {
	err = i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		var answer struct {
			Group groupAnswer `json:"security_group"`
		}
		err := groups.Get(ctx, client, id).ExtractInto(&answer)
		found = answer.Group.group()
		return err
	})
	return found, err
}

func (i *Inventory) createGroup(ctx context.Context, name, description string) (made Group, err error) {
	err = i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		var answer struct {
			Group groupAnswer `json:"security_group"`
		}
		err := groups.Create(ctx, client, groups.CreateOpts{Name: name, Description: description}).ExtractInto(&answer)
		made = answer.Group.group()
		return err
	})
	return made, err
}

func (i *Inventory) describeGroup(ctx context.Context, id, name, description string) error {
	return i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return groups.Update(ctx, client, id, groups.UpdateOpts{Name: name, Description: &description}).Err
	})
}

func (i *Inventory) tagGroup(ctx context.Context, id, tag string) error {
	return i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return attributestags.Add(ctx, client, groupResource, id, tag).Err
	})
}

func (i *Inventory) untagGroup(ctx context.Context, id, tag string) error {
	return cloud.UnlessGone(i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return attributestags.Delete(ctx, client, groupResource, id, tag).Err
	}))
}

func (i *Inventory) deleteGroup(ctx context.Context, id string) error {
	return cloud.UnlessGone(i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return groups.Delete(ctx, client, id).Err
	}))
}

// createRule is content with an equal rule that somebody was faster to make.
func (i *Inventory) createRule(ctx context.Context, r ruleRequest) error {
	err := i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return rules.Create(ctx, client, r).Err
	})
	if errors.Is(err, cloud.ErrConflict) {
		return nil
	}
	return err
}

func (i *Inventory) deleteRule(ctx context.Context, id string) error {
	return cloud.UnlessGone(i.Do(ctx, cloud.Network, func(client *gophercloud.ServiceClient) error {
		return rules.Delete(ctx, client, id).Err
	}))
}

// usersOf names the ports that a group is on, and the servers whose they are.
func (i *Inventory) usersOf(ctx context.Context, group string) (users []string, err error) {
	found, err := i.PortsInGroup(ctx, group)
	for _, p := range found {
		user := "port " + p.ID
		if p.Name != "" {
			user += " (" + p.Name + ")"
		}
		switch {
		case strings.HasPrefix(p.DeviceOwner, "compute:"):
			user += " of the server " + i.serverName(ctx, p.DeviceID)
		case p.DeviceID != "":
			user += " of " + p.DeviceOwner + " " + p.DeviceID
		}
		users = append(users, user)
	}
	return users, err
}

// serverName is a server's name and id; the id alone if compute does not tell.
func (i *Inventory) serverName(ctx context.Context, id string) string {
	server, err := i.Server(ctx, id)
	if err != nil {
		return id
	}
	return server.Name + " (" + id + ")"
}
