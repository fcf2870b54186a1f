package main

import (
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Debian's python3, whatever else of that name PATH may have: only it knows Debian's OpenStack.
const python = "/usr/bin/python3"

// uwsgi serves an API that has no server of its own. Two processes, because Keystone is what all others wait for.
func (c *cloud) uwsgi(name, wsgi string, port int, env ...string) host.Process {
	return host.Process{
		Name: name,
		Argv: []string{
			"/usr/bin/uwsgi", "--plugin", "python3", "--http-socket", c.listen(port), "--wsgi-file", wsgi,
			"--master", "--processes", "2", "--enable-threads", "--need-app",
			"--die-on-term",          // else TERM means: reload
			"--buffer-size", "65535", // tokens are long
			"--disable-logging", // not each request
			// It closes a connection after each answer, and would otherwise not say so, nor read a body that nobody asked for:
			// clients that go on with a connection are then met by a reset.
			"--add-header", "Connection: close", "--post-buffering", "65536",
		},
		Env:    env,
		Listen: []string{c.listen(port)},
	}
}
