package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
)

// store is a Swift as a stack has it. Its proxy keeps its own users and is not used; the servers behind it and memcached are.
func (c *cloud) store() service {
	return service{name: "swift", finish: func(ctx context.Context) error {
		_, err := swift.Apply(ctx, c.d, swift.Settings{})
		return err
	}}
}

// Memcached keeps tokens: the store's.
func (c *cloud) Memcached() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.at.memcached))
}

// SwiftConfiguration is where the store's rings are.
func (c *cloud) SwiftConfiguration() string { return c.at.service(swift.Service, "etc") }

// swiftProxy is the store's second entrance, which knows Keystone's users: a project is an account.
func (c *cloud) swiftProxy() (service, error) {
	const name = "swift-keystone"
	files, err := renderAll(struct {
		*cloud
		Port int
	}{c, portSwift}, "swift-proxy.conf")
	if err != nil {
		return service{}, err
	}
	return service{
		name: name, needs: []string{"swift", "keystone"},
		Service: host.Service{Name: name, Files: files, Processes: []host.Process{{
			Name: name,
			Argv: []string{
				python, c.SwiftConfiguration() + "/launch.py", c.SwiftConfiguration(),
				"/usr/bin/swift-proxy-server", c.at.service(name, "etc/swift-proxy.conf"), "-v", // -v: log to stdout
			},
			Listen: []string{c.listen(portSwift)},
		}}},
		ready: []probe{{"Swift's proxy", name, answers(fmt.Sprintf("%s/healthcheck", c.url(portSwift)))}},
	}, nil
}
