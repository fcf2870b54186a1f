// Package host puts services into one folder of this machine and keeps them running: under runit, without root, or as units of the
// machine's systemd.
//
// A stack is a [Directory]: one folder, owned by one [Account], that holds everything a stack makes. A [Service] is a
// description of files and processes; [Directory.Converge] makes the folder agree with it, [Directory.Inspect] says
// whether it still does, [Directory.Withdraw] takes it away, and [Sweep] removes a whole stack of which nothing is
// known but its folder.
//
//	d, err := host.Create(ctx, host.Options{Path: "/srv/stack", Stack: "local", Account: account})
//	report, err := d.Converge(ctx, host.Service{Name: "web", Files: ..., Processes: ...})
//	err = d.WaitReady(ctx, "the website", "web", time.Minute, check)
//
// The folder:
//
//	stack.json             the mark: whose folder this is, and its ports
//	sv/PROCESS             what runsvdir watches: links to services/SERVICE/runit/PROCESS
//	services/SERVICE/      service.json (manifest), the service's files and data, runit/PROCESS or systemd/PROCESS
//	log/PROCESS/current    bounded logs, written by svlogd
//	bin/NAME-SHA12         copies of our own programs
//	credentials/NAME       0600 files which users and other services read
//	images/                testbed images
//
// The truth is in the folder and in /proc, not in memory: each call looks at what is there, so a call that was cut
// short is finished by the next one. Every process carries [DirectoryMark] and [ProcessMark] in its environment; that
// is how leftovers are found and how strangers are left alone.
//
// The package knows nothing of Terraform, of RabbitMQ or of Swift, and does not know what a file means. It
// installs no packages and makes no accounts itself: scripts/setup does, which [Furnish] runs for a system-wide stack. Start reading at
// [Create] and [Directory.Converge], then the interface supervision.
package host
