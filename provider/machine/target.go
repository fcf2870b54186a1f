package machine

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Defaults of a target.
const (
	DefaultPort = 22
	DefaultUser = "root"
)

// Scheme begins the name of a file on another machine.
const Scheme = "ssh://"

// Target says how a machine is reached. It is comparable: two that are equal share a connection.
type Target struct {
	Address      string
	Port         int    // 0 is DefaultPort
	User         string // empty is DefaultUser
	IdentityFile string // a private key; empty for the ssh agent and the usual keys
	HostKey      string // the machine's public key, as a line of a .pub file; empty for the known hosts
}

func (t Target) filled() Target {
	t.Port, t.User = cmp.Or(t.Port, DefaultPort), cmp.Or(t.User, DefaultUser)
	return t
}

// dial is HOST:PORT.
func (t Target) dial() string { return net.JoinHostPort(t.Address, strconv.Itoa(t.filled().Port)) }

// String names the machine in messages: USER@HOST, with the port where it is not the usual one.
func (t Target) String() string {
	t = t.filled()
	if t.Port == DefaultPort {
		return t.User + "@" + t.Address
	}
	return t.User + "@" + t.dial()
}

// File names a file of the machine for others: ssh://USER@HOST:PORT/PATH. A key or an identity file that the target names goes
// with it, so that whoever has the name needs nothing else.
func (t Target) File(path string) string {
	t = t.filled()
	u := url.URL{Scheme: "ssh", User: url.User(t.User), Host: t.dial(), Path: path}
	query := url.Values{}
	if t.IdentityFile != "" {
		query.Set("identity_file", t.IdentityFile)
	}
	if t.HostKey != "" {
		query.Set("host_key", t.HostKey)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// IsFar says whether a name is that of a file on another machine, and not a path.
func IsFar(name string) bool { return strings.HasPrefix(name, Scheme) }

// ParseFile takes a name apart that [Target.File] has made, or a person.
func ParseFile(name string) (t Target, file string, err error) {
	wrong := func(cause string) error {
		return fmt.Errorf("%q %s: write it as ssh://USER@HOST:PORT/ABSOLUTE/PATH", name, cause)
	}
	u, err := url.Parse(name)
	if err != nil || u.Scheme != "ssh" {
		return Target{}, "", wrong("is not the name of a file on another machine")
	}
	query := u.Query()
	t = Target{Address: u.Hostname(), User: u.User.Username(), IdentityFile: query.Get("identity_file"), HostKey: query.Get("host_key")}
	for key := range query {
		if key != "identity_file" && key != "host_key" {
			return Target{}, "", wrong("has a " + key + ", which is not known")
		}
	}
	if _, password := u.User.Password(); password {
		return Target{}, "", fmt.Errorf("the name of a file on %s holds a password: leave it out, and use a key", u.Hostname())
	}
	if port := u.Port(); port != "" {
		if t.Port, err = strconv.Atoi(port); err != nil || t.Port < 1 || t.Port > 65535 {
			return Target{}, "", wrong("has no usable port")
		}
	}
	switch {
	case t.Address == "":
		return Target{}, "", wrong("has no host")
	case u.Path == "" || u.Path == "/" || path.Clean(u.Path) != u.Path || u.Fragment != "":
		return Target{}, "", wrong("has no absolute path without detours")
	}
	return t.filled(), u.Path, nil
}
