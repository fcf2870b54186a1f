package openstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

// A Service is a part of a cloud, by the type that the catalog knows it by.
type Service string

// The services that this project uses.
const (
	Compute  Service = "compute"
	Network  Service = "network"
	Image    Service = "image"
	Identity Service = "identity"
)

// project is who runs a service, by the name that its operators use.
func (s Service) project() string {
	return map[Service]string{Compute: "nova", Network: "neutron", Image: "glance", Identity: "keystone"}[s]
}

// OwnTag is on everything in a cloud that this project makes and that can have a tag. Alone it gives nobody the right to remove a thing.
const OwnTag = "autopkgtest-cloud"

// Region is a region of a cloud as one project sees it. It is safe for concurrent use.
type Region struct {
	cloud   cloudrc.Cloud
	session *session

	mu      sync.Mutex
	clients map[Service]*gophercloud.ServiceClient
}

// Cloud is what the region is reached with.
func (r *Region) Cloud() cloudrc.Cloud { return r.cloud }

// Name is the region's name; empty where the source names none and the cloud has one region.
func (r *Region) Name() string { return r.cloud.Region }

// String names region, cloud, project and source for messages.
func (r *Region) String() string { return r.cloud.String() }

// Do calls one of the region's services. The call gets a client for gophercloud's packages, and may make several requests; what it
// returns comes back as an [*Error], unless it is one already or is no failure of the cloud.
func (r *Region) Do(ctx context.Context, service Service, call func(*gophercloud.ServiceClient) error) error {
	client, err := r.client(ctx, service)
	if err != nil {
		return err
	}
	return r.failed(service, call(client))
}

// CheckAccess logs in and looks for services in the catalog, as the first call of each does, and asks them for nothing.
func (r *Region) CheckAccess(ctx context.Context, services ...Service) error {
	for _, service := range services {
		if _, err := r.client(ctx, service); err != nil {
			return err
		}
	}
	return nil
}

func (r *Region) client(ctx context.Context, service Service) (*gophercloud.ServiceClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if client := r.clients[service]; client != nil {
		return client, nil
	}
	provider, err := r.session.login(ctx)
	if err != nil {
		return nil, r.failed(Identity, err)
	}
	makers := map[Service]func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error){
		Compute: openstack.NewComputeV2, Network: openstack.NewNetworkV2, Image: openstack.NewImageV2, Identity: openstack.NewIdentityV3,
	}
	if err := r.checkRegion(provider); err != nil {
		return nil, err
	}
	client, err := makers[service](provider, gophercloud.EndpointOpts{
		Region: r.cloud.Region, Availability: gophercloud.Availability(r.cloud.Interface),
	})
	if err != nil {
		var missing *gophercloud.ErrEndpointNotFound
		if errors.As(err, &missing) {
			return nil, r.noService(provider, service)
		}
		return nil, r.failed(service, err)
	}
	if service == Compute {
		client.Microversion = computeVersion
	}
	if r.clients == nil {
		r.clients = map[Service]*gophercloud.ServiceClient{}
	}
	r.clients[service] = client
	return client, nil
}

// computeVersion is that of OpenStack Queens, of 2018, and the oldest with what is used here: tags that are given at the boot (2.52), and
// flavors in a server's description (2.47). Debian 12 has 2.93.
const computeVersion = "2.60"

// checkRegion wants that the cloud has the region.
func (r *Region) checkRegion(provider *gophercloud.ProviderClient) error {
	regions := regionsOf(provider)
	fail := &Error{cloud: r.cloud, Service: Identity, kind: ErrUnknownRegion}
	switch {
	case r.cloud.Region == "" && len(regions) > 1:
		fail.Cause = "the source names no region, and the cloud has several: " + strings.Join(regions, ", ")
		fail.WayOut = "name one, as OS_REGION_NAME or region_name"
	case r.cloud.Region != "" && !slices.Contains(regions, r.cloud.Region):
		fail.Cause = "the cloud has no region " + r.cloud.Region
		fail.WayOut = "its regions are " + strings.Join(regions, ", ") + ", and capitals count: correct OS_REGION_NAME or region_name"
		if len(regions) == 0 {
			fail.WayOut = "its catalog is empty for this account: is it a member of a project, and which one do the credentials name?"
		}
	default:
		return nil
	}
	return fail
}

func regionsOf(provider *gophercloud.ProviderClient) []string {
	regions := map[string]bool{}
	for _, entry := range catalog(provider).Entries {
		for _, endpoint := range entry.Endpoints {
			regions[endpoint.Region] = true
		}
	}
	return slices.Sorted(maps.Keys(regions))
}

// noService says what the region does offer.
func (r *Region) noService(provider *gophercloud.ProviderClient, service Service) error {
	var offered []string
	elsewhere := false
	for _, entry := range catalog(provider).Entries {
		for _, endpoint := range entry.Endpoints {
			here := r.cloud.Region == "" || endpoint.Region == r.cloud.Region || endpoint.RegionID == r.cloud.Region
			if here && endpoint.Interface == r.cloud.Interface && !slices.Contains(offered, entry.Type) {
				offered = append(offered, entry.Type)
			}
			elsewhere = elsewhere || here && entry.Type == string(service)
		}
	}
	slices.Sort(offered)
	fail := &Error{
		cloud: r.cloud, Service: service, kind: ErrNoService,
		Cause: fmt.Sprintf("its catalog has no %s endpoint of the service %s (%s), only of %s",
			r.cloud.Interface, service, service.project(), strings.Join(offered, ", ")),
		WayOut: "ask the cloud's operators for it, or name a region that has one",
	}
	if elsewhere {
		fail.WayOut = "it has one of another interface: change OS_INTERFACE or interface"
	}
	return fail
}

// ProjectOf is the id of the login's project; empty if the cloud does not say it. An administrator's lists have all projects' things in
// them, and those of others may be shared with this one.
func ProjectOf(client *gophercloud.ServiceClient) string {
	result, ok := client.GetAuthResult().(interface {
		ExtractProject() (*tokens.Project, error)
	})
	if !ok {
		return ""
	}
	project, err := result.ExtractProject()
	if err != nil || project == nil {
		return ""
	}
	return project.ID
}
