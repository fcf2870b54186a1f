// Package forward lets the provider work at the other end: for a resource whose attribute host is set, the calls of the plugin
// protocol go to a copy of the provider that runs on that machine, over the ssh session's standard input and output.
//
//	Terraform ── Server ──┬── the provider, for resources of this machine
//	                      └── ssh ── Serve ── the provider, at the other end
//
// So what a resource does is written once, and always for the machine that it runs on. The package knows the protocol and the one
// attribute, but none of the resources. Start reading at [Server.PlanResourceChange].
package forward
