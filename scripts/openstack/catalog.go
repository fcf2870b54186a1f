package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	identityregions "github.com/gophercloud/gophercloud/v2/openstack/identity/v3/regions"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/gophercloud/gophercloud/v2/pagination"
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

// everything lists all of a kind.
func everything[T any](ctx context.Context, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) ([]T, error) {
	page, err := pager.AllPages(ctx)
	if err != nil {
		return nil, err
	}
	empty, err := page.IsEmpty()
	if err != nil || empty {
		return nil, err
	}
	return extract(page)
}

// absent says that the list has none that is wanted.
func absent[T any](list []T, wanted func(T) bool) bool { return !slices.ContainsFunc(list, wanted) }

func (c *cloud) fillCatalog(ctx context.Context, identity *gophercloud.ServiceClient) error {
	known, err := everything(ctx, services.List(identity, nil), services.ExtractServices)
	if err != nil {
		return err
	}
	at, err := everything(ctx, endpoints.List(identity, nil), endpoints.ExtractEndpoints)
	if err != nil {
		return err
	}
	places, err := everything(ctx, identityregions.List(identity, nil), identityregions.ExtractRegions)
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
				return err
			}
		}
		for _, e := range c.entries(r) {
			if ids[e.kind] == "" {
				made, err := services.Create(ctx, identity, services.CreateOpts{Type: e.kind, Extra: map[string]any{"name": e.name}}).Extract()
				if err != nil {
					return fmt.Errorf("make the service %s: %w", e.name, err)
				}
				ids[e.kind] = made.ID
			}
			// Services look for each other at the internal one.
			for _, interfaceOf := range []gophercloud.Availability{gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal} {
				same := func(p endpoints.Endpoint) bool {
					return p.ServiceID == ids[e.kind] && p.Region == r.Name && p.Availability == interfaceOf
				}
				if !absent(at, same) {
					continue
				}
				if _, err := endpoints.Create(ctx, identity, endpoints.CreateOpts{
					Availability: interfaceOf, Name: e.name, Region: r.Name, URL: e.url, ServiceID: ids[e.kind],
				}).Extract(); err != nil {
					return fmt.Errorf("make the endpoint of %s in %s: %w", e.name, r.Name, err)
				}
			}
		}
	}
	return nil
}

const defaultDomain = "default"

func (c *cloud) makeUsers(ctx context.Context, identity *gophercloud.ServiceClient) error {
	there, err := everything(ctx, projects.List(identity, nil), projects.ExtractProjects)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for _, p := range there {
		ids[p.Name] = p.ID
	}
	known, err := everything(ctx, users.List(identity, nil), users.ExtractUsers)
	if err != nil {
		return err
	}
	may, err := everything(ctx, roles.List(identity, nil), roles.ExtractRoles)
	if err != nil {
		return err
	}
	roleIDs := map[string]string{}
	for _, role := range may {
		roleIDs[role.Name] = role.ID
	}
	wanted := map[user]string{}
	for _, name := range serviceUsers {
		wanted[user{name, "service"}] = "admin"
	}
	for _, u := range tenants {
		wanted[u] = "member"
	}
	for u, role := range wanted {
		if ids[u.project] == "" {
			made, err := projects.Create(ctx, identity, projects.CreateOpts{Name: u.project, DomainID: defaultDomain}).Extract()
			if err != nil {
				return fmt.Errorf("make the project %s: %w", u.project, err)
			}
			ids[u.project] = made.ID
		}
		var id string
		if at := slices.IndexFunc(known, func(k users.User) bool { return k.Name == u.name }); at >= 0 {
			id = known[at].ID
		} else {
			made, err := users.Create(ctx, identity, users.CreateOpts{
				Name: u.name, DomainID: defaultDomain, Password: c.Password(u.name).Reveal(), DefaultProjectID: ids[u.project],
			}).Extract()
			if err != nil {
				return fmt.Errorf("make the user %s: %w", u.name, err)
			}
			id = made.ID
		}
		// Again and again does no harm.
		if err := roles.Assign(ctx, identity, roleIDs[role], roles.AssignOpts{UserID: id, ProjectID: ids[u.project]}).ExtractErr(); err != nil {
			return fmt.Errorf("give %s the role %s: %w", u.name, role, err)
		}
	}
	return nil
}
