package main

// region is one of the cloud's two. Each has Placement, Nova and Neutron with databases and a virtual host of their own, so that a
// server, network, key pair, flavor or floating IP is in one region alone. The others are there once, and in the catalog twice.
type region struct {
	Name     string
	shift    int    // added to the services' usual ports
	Floating string // the first three numbers of the network of floating IPs
}

var regions = []region{{"lcy01", 0, "172.24.4"}, {"lgw01", 10000, "172.24.5"}}

// Port is a service's port in a region.
func (r region) Port(usual int) int { return usual + r.shift }

// inRegion is what the templates of a region's services read.
type inRegion struct {
	*cloud
	region
	Folder string // of the service
	Guests bool   // servers are machines here
}

func (c *cloud) in(r region, name string) inRegion {
	return inRegion{c, r, c.at.service(name), c.hasGuests(r)}
}
