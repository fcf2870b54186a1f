// Package openstack makes and keeps what the test cloud needs in an OpenStack project: security groups, key pairs, floating IPs and
// instances. It knows nothing of Terraform; logins, repetitions and errors are those of worker/openstack.
//
// What is made is marked with the name of the stack, so that an interrupted attempt is finished and not repeated, and nobody else's
// things are touched. Start reading at Inventories, then at Group.
package openstack
