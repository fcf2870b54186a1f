package main

import (
	"context"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
)

// endpoint chooses the services of a region from the catalog.
func endpoint(r region) gophercloud.EndpointOpts { return gophercloud.EndpointOpts{Region: r.Name} }

// sessions keeps logins, because probes ask every moment. Its zero value is ready.
type sessions struct {
	lock sync.Mutex
	kept map[user]*gophercloud.ProviderClient
}

// session is a login that may be an earlier one. It knows the catalog of the time when it was made.
func (c *cloud) session(ctx context.Context, u user) (*gophercloud.ProviderClient, error) {
	c.sessions.lock.Lock()
	defer c.sessions.lock.Unlock()
	if provider := c.sessions.kept[u]; provider != nil {
		return provider, nil
	}
	provider, err := c.login(ctx, u)
	if err != nil {
		return nil, err
	}
	if c.sessions.kept == nil {
		c.sessions.kept = map[user]*gophercloud.ProviderClient{}
	}
	c.sessions.kept[u] = provider
	return provider, nil
}

func (c *cloud) login(ctx context.Context, u user) (*gophercloud.ProviderClient, error) {
	provider, err := openstack.NewClient(c.AuthURL())
	if err != nil {
		return nil, err
	}
	provider.HTTPClient = local
	return provider, openstack.Authenticate(ctx, provider, gophercloud.AuthOptions{
		IdentityEndpoint: c.AuthURL(), Username: u.name, Password: c.Password(u.name).Reveal(),
		DomainName: "Default", TenantName: u.project, AllowReauth: true,
	})
}
