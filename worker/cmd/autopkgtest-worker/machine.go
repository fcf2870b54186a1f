package main

import (
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// limits are those of each run. What is not limited is a negative number in the configuration, and zero for a run.
func limits(conf config.Worker) testbed.Limits {
	l := conf.Limits
	return testbed.Limits{
		Disk: max(int64(l.Disk), 0), Files: max(int64(l.Files), 0), Log: max(int64(l.Log), 0), Memory: max(int64(l.Memory), 0),
		Processes: max(int(l.Processes), 0),
	}
}

// network is what each run may reach beside public addresses: what is listed, and where it gets packages from.
func network(conf config.Worker) testbed.Network {
	n := testbed.Network{
		Mirror: conf.Network.Mirror, Proxy: conf.Network.Proxy,
		Kind: conf.Network.Kind, Range: conf.Network.Range, Range6: conf.Network.Range6,
	}
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
