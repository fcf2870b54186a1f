package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// keyrings are where Debian's and Ubuntu's packages of archive keys put them.
var keyrings = map[string]struct{ path, debianPackage string }{
	"Debian": {"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
	"Ubuntu": {"/usr/share/keyrings/ubuntu-archive-keyring.gpg", "ubuntu-keyring"},
}

// keyring finds the keys of a distribution. Another one's must be in apt's own keyring.
func keyring(origin string) (string, error) {
	known, found := keyrings[origin]
	if !found {
		return "", nil
	}
	if _, err := os.Stat(known.path); err != nil {
		return "", fmt.Errorf("the keys of %s's archive are not on this machine: install %s, or put its file %s there by hand",
			origin, known.debianPackage, known.path)
	}
	return known.path, nil
}

// hostDistribution is the name of the distribution that this machine runs, or empty.
func hostDistribution(root string) string {
	content, err := os.ReadFile(filepath.Join(root, "etc/os-release"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if id, found := strings.CutPrefix(line, "ID="); found {
			return strings.Trim(strings.TrimSpace(id), `"'`)
		}
	}
	return ""
}

// aptProxy is the proxy that apt on this machine uses, or that the environment names; empty for none. Testbeds get it.
func aptProxy(ctx context.Context) string {
	for _, key := range []string{"Acquire::http::Proxy", "Acquire::https::Proxy"} {
		out, err := exec.CommandContext(ctx, "apt-config", "dump", "--format", "%v%n", key).Output()
		if value := strings.TrimSpace(string(out)); err == nil && strings.HasPrefix(value, "http") {
			return value
		}
	}
	return os.Getenv("http_proxy")
}

// ErrUnreachable means that an archive or a proxy is on this machine, whose own addresses testbeds cannot reach.
var ErrUnreachable = errors.New("testbeds cannot reach it")

// checkReachable refuses the address of a service that runs on this machine: a build could use it, no test could.
func checkReachable(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("%q is not the address of an archive", address)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the addresses of this machine: %w", err)
	}
	// Behind a proxy names need not resolve here; otherwise fetching says what is wrong.
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if len(found) == 0 {
		return nil
	}
	for _, ip := range found {
		if !local(ip.Unmap(), own) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is this machine itself, and tests are kept away from its services; "+
		"use one on another machine", ErrUnreachable, u.Host)
}

func local(ip netip.Addr, own []net.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	for _, address := range own {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr() == ip {
			return true
		}
	}
	return false
}
