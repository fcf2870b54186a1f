package main

import (
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// mostProcesses of one run, with threads, is more than packages need that use all of a machine, and what a machine bears.
const mostProcesses = 8192

// limits are those of each run.
func limits(conf config.Worker) testbed.Limits {
	return testbed.Limits{
		Disk: max(int64(conf.Limits.Disk), 0), Log: max(int64(conf.Limits.Log), 0), Memory: max(int64(conf.Limits.Memory), 0),
		Processes: mostProcesses,
	}
}

// network is what each run may reach beside public addresses: what is listed, and where it gets packages from.
func network(conf config.Worker) testbed.Network {
	n := testbed.Network{Mirror: conf.Network.Mirror, Proxy: conf.Network.Proxy}
	for _, d := range conf.Network.Allow {
		n.Allow = append(n.Allow, testbed.Destination(d))
	}
	for _, address := range []string{conf.PPA.URL, conf.PPA.PrivateURL} {
		if d, err := testbed.DestinationOf(address); err == nil { // a PPA that cannot be reached says so itself
			n.Allow = append(n.Allow, d)
		}
	}
	return n
}
