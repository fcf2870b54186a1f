package main

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	identityregions "github.com/gophercloud/gophercloud/v2/openstack/identity/v3/regions"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
)

// entry is one service in the catalog of a region.
type entry struct{ kind, name, url string }

// entries are those of a region. Keystone, Glance and Swift are the same in both, as in many a cloud of several regions.
func (c *cloud) entries(r region) []entry {
	return []entry{
		{"identity", "keystone", c.AuthURL()},
		{"image", "glance", c.url(portGlance)},
		{"object-store", "swift", c.url(portSwift) + "/v1/AUTH_%(tenant_id)s"},
		{"placement", "placement", c.url(r.Port(portPlacement))},
		{"compute", "nova", c.url(r.Port(portNova)) + "/v2.1"},
		{"network", "neutron", c.url(r.Port(portNeutron))},
	}
}

// serviceUsers are as whom the services ask each other.
var serviceUsers = []string{"glance", "swift", "placement", "nova", "neutron"}

// catalog is what Keystone must know before the other services can work: the catalog, and everybody who logs in.
func (c *cloud) catalog() service {
	return service{name: "catalog", needs: []string{"keystone"}, finish: func(ctx context.Context) error {
		provider, err := c.login(ctx, admin)
		if err != nil {
			return err
		}
		identity, err := openstack.NewIdentityV3(provider, endpoint(regions[0]))
		if err != nil {
			return err
		}
		if err := c.fillCatalog(ctx, identity); err != nil {
			return err
		}
		return c.makeUsers(ctx, identity)
	}}
}

// fillCatalog makes the regions, services and endpoints that are missing.
func (c *cloud) fillCatalog(ctx context.Context, identity *gophercloud.ServiceClient) error {
	places, err := everything(ctx, identityregions.List(identity, nil), identityregions.ExtractRegions)
	if err != nil {
		return err
	}
	known, err := everything(ctx, services.List(identity, nil), services.ExtractServices)
	if err != nil {
		return err
	}
	at, err := everything(ctx, endpoints.List(identity, nil), endpoints.ExtractEndpoints)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for _, s := range known {
		ids[s.Type] = s.ID
	}
	for _, r := range regions {
		if absent(places, func(p identityregions.Region) bool { return p.ID == r.Name }) {
			if _, err := identityregions.Create(ctx, identity, identityregions.CreateOpts{ID: r.Name}).Extract(); err != nil {
				return fmt.Errorf("make the region %s: %w", r.Name, err)
			}
		}
		for _, e := range c.entries(r) {
			if ids[e.kind] == "" {
				o := services.CreateOpts{Type: e.kind, Extra: map[string]any{"name": e.name}}
				made, err := services.Create(ctx, identity, o).Extract()
				if err != nil {
					return fmt.Errorf("make the service %s: %w", e.name, err)
				}
				ids[e.kind] = made.ID
			}
			if err := makeEndpoints(ctx, identity, at, ids[e.kind], e, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeEndpoints makes those of one service in a region. Services look for each other at the internal one.
func makeEndpoints(ctx context.Context, identity *gophercloud.ServiceClient, there []endpoints.Endpoint, service string, e entry,
	r region) error {
	for _, availability := range []gophercloud.Availability{gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal} {
		same := func(p endpoints.Endpoint) bool {
			return p.ServiceID == service && p.Region == r.Name && p.Availability == availability
		}
		if !absent(there, same) {
			continue
		}
		o := endpoints.CreateOpts{Availability: availability, Name: e.name, Region: r.Name, URL: e.url, ServiceID: service}
		if _, err := endpoints.Create(ctx, identity, o).Extract(); err != nil {
			return fmt.Errorf("make the endpoint of %s in %s: %w", e.name, r.Name, err)
		}
	}
	return nil
}

const defaultDomain = "default"

// makeUsers makes projects, their users and what these may do.
func (c *cloud) makeUsers(ctx context.Context, identity *gophercloud.ServiceClient) error {
	there, err := everything(ctx, projects.List(identity, nil), projects.ExtractProjects)
	if err != nil {
		return err
	}
	known, err := everything(ctx, users.List(identity, nil), users.ExtractUsers)
	if err != nil {
		return err
	}
	may, err := everything(ctx, roles.List(identity, nil), roles.ExtractRoles)
	if err != nil {
		return err
	}
	projectIDs, userIDs, roleIDs := map[string]string{}, map[string]string{}, map[string]string{}
	for _, p := range there {
		projectIDs[p.Name] = p.ID
	}
	for _, u := range known {
		userIDs[u.Name] = u.ID
	}
	for _, role := range may {
		roleIDs[role.Name] = role.ID
	}
	for u, role := range wantedUsers() {
		if projectIDs[u.project] == "" {
			made, err := projects.Create(ctx, identity, projects.CreateOpts{Name: u.project, DomainID: defaultDomain}).Extract()
			if err != nil {
				return fmt.Errorf("make the project %s: %w", u.project, err)
			}
			projectIDs[u.project] = made.ID
		}
		project := projectIDs[u.project]
		if userIDs[u.name] == "" {
			made, err := users.Create(ctx, identity, users.CreateOpts{
				Name: u.name, DomainID: defaultDomain, Password: c.Password(u.name).Reveal(), DefaultProjectID: project,
			}).Extract()
			if err != nil {
				return fmt.Errorf("make the user %s: %w", u.name, err)
			}
			userIDs[u.name] = made.ID
		}
		// Again and again does no harm.
		o := roles.AssignOpts{UserID: userIDs[u.name], ProjectID: project}
		if err := roles.Assign(ctx, identity, roleIDs[role], o).ExtractErr(); err != nil {
			return fmt.Errorf("give %s the role %s: %w", u.name, role, err)
		}
	}
	return nil
}

// wantedUsers are all but the administrator, with their roles.
func wantedUsers() map[user]string {
	wanted := map[user]string{}
	for _, name := range serviceUsers {
		wanted[user{name, "service"}] = "admin"
	}
	for _, u := range tenants {
		wanted[u] = "member"
	}
	return wanted
}
