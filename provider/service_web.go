package provider

import (
	"net"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const (
	webService    = "web"
	collectorName = "autopkgtest-collector"
	collectorConf = "etc/collector.conf"
	operatorConf  = "etc/autopkgtest-cloud.conf"
)

// webSettings are what a website is made of.
type webSettings struct {
	Collector config.Collector
	Operator  config.Operator
	Binary    host.Binary
	Copies    []host.File // of credentials on other machines
}

// webAddress is where the website listens and how people reach it.
func webAddress(d *host.Directory, listen string, port int64, external string) (address, url string) {
	if port == 0 {
		port = int64(d.Port(host.RoleWeb))
	}
	if listen == "" {
		listen = "127.0.0.1"
	}
	address = net.JoinHostPort(listen, strconv.FormatInt(port, 10))
	if external != "" {
		return address, external
	}
	return address, "http://" + address + "/"
}

// webDefinition is the website as a service.
func webDefinition(d *host.Directory, s webSettings) host.Service {
	return host.Service{
		Name:   webService,
		Format: definitionFormat,
		Files: append([]host.File{
			{Name: collectorConf, Content: s.Collector.Bytes()},
			{Name: operatorConf, Content: s.Operator.Bytes(), Perm: 0o644},
		}, s.Copies...),
		Folders: []string{"data"}, // the index: made again from the store
		Binary:  &s.Binary,
		Processes: []host.Process{{
			Name:   webService,
			Argv:   []string{d.BinaryPath(s.Binary), "--config", d.ServicePath(webService, collectorConf)},
			Reads:  []string{collectorConf},
			Listen: []string{s.Collector.Listen},
			Notify: true,
		}},
	}
}
