// Package machine reaches other machines by ssh: it reads their files, puts programs there, starts them and talks to them, and
// makes connections from there. It knows nothing of Terraform, nor of what the programs are for.
//
// A [Target] says which machine and as whom, a [Pool] keeps one connection ([Machine]) for each. Whom to believe is never left
// open: the machine's key is in the target, or among the known hosts of whoever runs this. Start reading at [Pool.Machine].
package machine
