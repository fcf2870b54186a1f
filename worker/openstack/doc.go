// Package openstack speaks to OpenStack clouds for the rest of the project: it logs in with what package cloudrc has read, finds the
// services of a region, repeats what is worth repeating, and turns every failure into an Error that says where it happened, what the
// cloud said, the id of the request for the cloud's operators, and what to do.
//
// One Sessions value belongs to a process: it logs in once for each project of a cloud, whatever the number of regions and callers,
// and keeps the token in memory alone. Start reading at Sessions, then at Region.
package openstack
