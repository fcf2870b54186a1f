package provider

import (
	"net"
	"strconv"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const (
	workerService = "worker"
	workerName    = "autopkgtest-worker"
	workerConf    = "etc/worker.conf"
	workerState   = "state"
	// stopMargin is what a worker may take beyond its drain: it kills the tests, gives their requests back and removes their testbeds.
	// That is a matter of seconds, unless a cloud is slow to answer.
	stopMargin = 2 * time.Minute
)

// workerDefinition is the worker as a service. A stop lets its tests run on for the drain timeout. Copies of credentials are read
// again while it runs, so none of them restarts it.
func workerDefinition(d *host.Directory, conf config.Worker, binary host.Binary, copies ...host.File) host.Service {
	return host.Service{
		Name:    workerService,
		Format:  definitionFormat,
		Files:   append([]host.File{{Name: workerConf, Content: conf.Bytes()}}, copies...),
		Folders: []string{workerState},
		Binary:  &binary,
		Processes: []host.Process{{
			Name:   workerService,
			Argv:   []string{d.BinaryPath(binary), "--config", d.ServicePath(workerService, workerConf)},
			Reads:  []string{workerConf},
			Listen: []string{conf.HealthListen},
			Notify: true,
			// It makes the testbeds.
			Namespaces: true,
			StopWait:   conf.DrainTimeout + stopMargin,
		}},
	}
}

func workerHealth(d *host.Directory) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port(host.RoleWorkerHealth)))
}
