package openstacktest

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projectendpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/rbacpolicies"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// Project is a project of a test's own, in one region, with a user who has no other: what an administrator does to it concerns no other
// test. It goes with the test. What the test makes in it, the test removes.
type Project struct {
	ID, Name string
	// RC is the user's RC file.
	RC string

	t        testing.TB
	ctx      context.Context // outlives the test's, for the cleanups
	region   string
	identity *gophercloud.ServiceClient // the administrator's, as the others
	compute  *gophercloud.ServiceClient
	network  *gophercloud.ServiceClient
}

// NewProject makes one, with the quotas that every project has and without a network.
func NewProject(t testing.TB, region string) *Project {
	t.Helper()
	p := &Project{Name: "test-" + strings.ToLower(rand.Text()[:12]), t: t, ctx: context.WithoutCancel(t.Context()), region: region}
	p.login()
	made, err := projects.Create(p.ctx, p.identity, projects.CreateOpts{Name: p.Name, DomainID: "default"}).Extract()
	p.must(err)
	p.ID = made.ID
	t.Cleanup(func() {
		p.forget()
		p.must(projects.Delete(p.ctx, p.identity, p.ID).ExtractErr())
	})
	p.makeUser()
	return p
}

// must ends the test, or fails it if it is over.
func (p *Project) must(err error) {
	p.t.Helper()
	if err != nil && p.t.Context().Err() == nil {
		p.t.Fatal(err)
	}
	if err != nil {
		p.t.Error(err)
	}
}

func (p *Project) login() {
	p.t.Helper()
	c := Cloud(p.t, Admin, p.region)
	session, err := openstack.AuthenticatedClient(p.ctx, gophercloud.AuthOptions{
		IdentityEndpoint: c.AuthURL, Username: c.Username, Password: c.Password.Reveal(), DomainName: "Default", TenantName: c.ProjectName,
		AllowReauth: true,
	})
	p.must(err)
	where := gophercloud.EndpointOpts{Region: p.region}
	var failed [3]error
	p.identity, failed[0] = openstack.NewIdentityV3(session, where)
	p.compute, failed[1] = openstack.NewComputeV2(session, where)
	p.network, failed[2] = openstack.NewNetworkV2(session, where)
	p.must(errors.Join(failed[:]...))
}

// makeUser makes the project's member, and his RC file.
func (p *Project) makeUser() {
	p.t.Helper()
	password := rand.Text()
	user, err := users.Create(p.ctx, p.identity, users.CreateOpts{Name: p.Name, DomainID: "default", Password: password}).Extract()
	p.must(err)
	p.t.Cleanup(func() { p.must(users.Delete(p.ctx, p.identity, user.ID).ExtractErr()) })
	pages, err := roles.List(p.identity, roles.ListOpts{Name: "member"}).AllPages(p.ctx)
	p.must(err)
	found, err := roles.ExtractRoles(pages)
	p.must(err)
	for _, role := range found {
		p.must(roles.Assign(p.ctx, p.identity, role.ID, roles.AssignOpts{UserID: user.ID, ProjectID: p.ID}).ExtractErr())
	}
	content, err := os.ReadFile(RCFile(p.t, Admin, p.region))
	p.must(err)
	text := string(content)
	for name, value := range map[string]string{"OS_USERNAME": p.Name, "OS_PASSWORD": password, "OS_PROJECT_NAME": p.Name} {
		text = regexp.MustCompile(`(?m)^export `+name+`=.*$`).ReplaceAllLiteralString(text, "export "+name+"="+value)
	}
	p.RC = filepath.Join(p.t.TempDir(), "project.rc")
	p.must(os.WriteFile(p.RC, []byte(text), 0o600))
}

// forget removes what the services know of a project by themselves: its quotas, and its security group default.
func (p *Project) forget() {
	p.t.Helper()
	p.must(quotasets.Delete(p.ctx, p.compute, p.ID).Err)
	if err := quotas.Delete(p.ctx, p.network, p.ID).Err; !gophercloud.ResponseCodeIs(err, 404) { // none was ever changed
		p.must(err)
	}
	pages, err := groups.List(p.network, groups.ListOpts{ProjectID: p.ID}).AllPages(p.ctx)
	p.must(err)
	found, err := groups.ExtractGroups(pages)
	p.must(err)
	for _, group := range found {
		p.must(groups.Delete(p.ctx, p.network, group.ID).ExtractErr())
	}
}

// Between starts somebody between the test and the cloud, whose RC files are the project's user's.
func (p *Project) Between() *Between {
	p.t.Helper()
	return newBetween(p.t, p.RC)
}

// ComputeQuota changes what the project may use of Nova.
func (p *Project) ComputeQuota(change quotasets.UpdateOpts) {
	p.t.Helper()
	p.must(quotasets.Update(p.ctx, p.compute, p.ID, change).Err)
}

// NetworkQuota changes what the project may use of Neutron.
func (p *Project) NetworkQuota(change quotas.UpdateOpts) {
	p.t.Helper()
	p.must(quotas.Update(p.ctx, p.network, p.ID, change).Err)
}

// Network gives the project one of the project's name, with these addresses.
func (p *Project) Network(addresses string) (id string) {
	p.t.Helper()
	return p.makeNetwork(networks.CreateOpts{Name: p.Name, ProjectID: p.ID}, addresses)
}

// Pool has the project, and nobody else, see one more external network with these addresses.
func (p *Project) Pool(name, addresses string) (id string) {
	p.t.Helper()
	id = p.makeNetwork(networks.CreateOpts{Name: name}, addresses)
	policy, err := rbacpolicies.Create(p.ctx, p.network, rbacpolicies.CreateOpts{
		Action: rbacpolicies.ActionAccessExternal, ObjectType: "network", TargetTenant: p.ID, ObjectID: id,
	}).Extract()
	p.must(err)
	p.t.Cleanup(func() { p.must(rbacpolicies.Delete(p.ctx, p.network, policy.ID).ExtractErr()) })
	return id
}

func (p *Project) makeNetwork(of networks.CreateOpts, addresses string) (id string) {
	p.t.Helper()
	made, err := networks.Create(p.ctx, p.network, of).Extract()
	p.must(err)
	p.t.Cleanup(func() { p.must(networks.Delete(p.ctx, p.network, made.ID).ExtractErr()) })
	p.must(subnets.Create(p.ctx, p.network, subnets.CreateOpts{
		NetworkID: made.ID, ProjectID: of.ProjectID, CIDR: addresses, IPVersion: gophercloud.IPv4, EnableDHCP: new(bool),
	}).Err)
	return made.ID
}

// Hide takes a service out of the catalog that the project's logins get from now on, which has nothing but the project's region then. The
// returned function brings all back.
func (p *Project) Hide(service string) (show func()) {
	p.t.Helper()
	pages, err := services.List(p.identity, services.ListOpts{ServiceType: service}).AllPages(p.ctx)
	p.must(err)
	hidden, err := services.ExtractServices(pages)
	p.must(err)
	pages, err = endpoints.List(p.identity, nil).AllPages(p.ctx)
	p.must(err)
	all, err := endpoints.ExtractEndpoints(pages)
	p.must(err)
	// A project that is given some endpoints sees no others.
	var given []string
	for _, endpoint := range all {
		here := endpoint.Region == p.region && endpoint.Availability == gophercloud.AvailabilityPublic
		if here && len(hidden) == 1 && endpoint.ServiceID != hidden[0].ID {
			p.must(projectendpoints.Create(p.ctx, p.identity, p.ID, endpoint.ID).Err)
			given = append(given, endpoint.ID)
		}
	}
	return func() {
		p.t.Helper()
		for _, id := range given {
			p.must(projectendpoints.Delete(p.ctx, p.identity, p.ID, id).Err)
		}
	}
}
