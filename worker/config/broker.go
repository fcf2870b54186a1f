package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// Broker is an account at the message broker.
type Broker struct {
	Username string
	Password Secret
	Host     string
	Port     int    // 0 means DefaultPort, with TLS DefaultTLSPort
	VHost    string // empty means "/"
	TLS      bool
	CAFile   string // certificate of the authority to believe in, with TLS; empty means those that the machine knows
	Others   Others // further addresses of the same broker, for when the first is not there
}

// Others are addresses HOST:PORT, separated by spaces: a text, so that accounts can be compared.
type Others string

// With adds an address.
func (o Others) With(address string) Others {
	return Others(strings.TrimSpace(string(o) + " " + address))
}

// Each is the account at each of its broker's addresses, in order.
func (b Broker) Each() []Broker {
	first := b
	first.Others = ""
	all := []Broker{first}
	for _, address := range strings.Fields(string(b.Others)) {
		host, port, err := net.SplitHostPort(address)
		number, wrong := strconv.Atoi(port)
		if err == nil && wrong == nil {
			at := first
			at.Host, at.Port = host, number
			all = append(all, at)
		}
	}
	return all
}

const (
	// DefaultPort is AMQP's. Clients that see only the host of a URL, as the gatekeeper does, use no other.
	DefaultPort = 5672
	// DefaultTLSPort is that of AMQP over TLS.
	DefaultTLSPort = 5671
)

const defaultVHost = "/"

// Keys of a broker's credentials file.
const (
	KeyGatekeeper = "ADT_AMQP" // for a requester: the line can be included in the gatekeeper's own configuration
	KeyURI        = "uri"
	KeyCAFile     = "ca_file" // beside an amqps:// URL; a path, which may be relative to the file's folder
)

const (
	schemePlain = "amqp"
	schemeTLS   = "amqps"
)

// Address is HOST:PORT.
func (b Broker) Address() string {
	port := b.Port
	if port == 0 {
		port = b.defaultPort()
	}
	return net.JoinHostPort(b.Host, strconv.Itoa(port))
}

func (b Broker) defaultPort() int {
	if b.TLS {
		return DefaultTLSPort
	}
	return DefaultPort
}

// URI is amqp://USER:PASSWORD@HOST[:PORT][/VHOST], or amqps:// with TLS, port and vhost left out when they are the default.
func (b Broker) URI() Secret {
	u := url.URL{Scheme: schemePlain, User: url.UserPassword(b.Username, b.Password.Reveal()), Host: b.Host}
	if b.TLS {
		u.Scheme = schemeTLS
	}
	if b.Port != 0 && b.Port != b.defaultPort() {
		u.Host = b.Address()
	} else if strings.Contains(b.Host, ":") {
		u.Host = "[" + b.Host + "]"
	}
	text := u.String()
	if b.VHost != "" && b.VHost != defaultVHost {
		text += "/" + url.PathEscape(b.VHost)
	}
	return Secret(text)
}

// shellWord before a key makes a file that a shell reads: the form travels with the key, for whoever writes a file again.
const shellWord = "export "

// ShellKey is the key of a file that a shell reads.
func ShellKey(key string) string { return shellWord + key }

// shellCAFile ends the name of the variable that says KeyCAFile to a shell.
const shellCAFile = "_CA_FILE"

// ShellFile is the path of the file for a shell that lies beside a credentials file, where there is one.
func ShellFile(path string) string { return path + ".sh" }

// AuthorityFile is the path of the authority's certificate that lies beside a credentials file, where there is one.
func AuthorityFile(path string) string { return path + ".ca.pem" }

// File is the content of a credentials file: a line KEY = URI, or with a ShellKey one for a shell, and one with the CAFile. Of a
// broker with several addresses it has a line KEY = URI each, but for the gatekeeper and a shell, which know only one. It holds the
// password: write it with mode 0600.
func (b Broker) File(key string) []byte {
	name, shell := strings.CutPrefix(key, shellWord)
	lines, ca := []Secret{b.Line(key)}, KeyCAFile+" = "+b.CAFile
	switch {
	case shell:
		lines, ca = []Secret{b.Shell(name)}, shellLine(name+shellCAFile, b.CAFile)
	case key != KeyGatekeeper:
		lines = nil
		for _, at := range b.Each() {
			lines = append(lines, at.Line(key))
		}
	}
	content := []byte("# an account at the message broker: keep it readable by its owner alone\n")
	for _, line := range lines {
		content = fmt.Appendln(content, line.Reveal())
	}
	if b.CAFile != "" {
		content = fmt.Appendln(content, ca)
	}
	return content
}

// Line is KEY = URI, as the gatekeeper's configuration has it.
func (b Broker) Line(key string) Secret { return Secret(key + " = " + b.URI().Reveal()) }

// Shell is a line that gives a shell the variable KEY: export KEY='URI'.
func (b Broker) Shell(key string) Secret { return Secret(shellLine(key, b.URI().Reveal())) }

func shellLine(key, value string) string {
	return shellWord + key + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// ReadBroker reads a broker's credentials file: a line KEY = URI, whatever the key, or the URI alone; and for TLS a line
// ca_file = PATH. Further lines KEY = URI are further addresses of the same broker, where all but host and port is the same.
func ReadBroker(path string) (Broker, error) {
	b, _, err := ReadBrokerKey(path)
	return b, err
}

// ReadBrokerKey is ReadBroker for who writes the file again: it returns the key as well, empty for the URI alone.
func ReadBrokerKey(path string) (b Broker, key string, err error) {
	content, err := readCredentials(path)
	if err != nil {
		return Broker{}, "", err
	}
	return decodeBroker(path, content)
}

// DecodeBroker is ReadBrokerKey for a file that somebody else has read, on another machine. A CAFile is a path there.
func DecodeBroker(path string, content []byte, mode fs.FileMode) (b Broker, key string, err error) {
	if err := CheckMode(path, mode); err != nil {
		return Broker{}, "", err
	}
	return decodeBroker(path, content)
}

func decodeBroker(path string, content []byte) (b Broker, key string, err error) {
	wrong := func(line int, cause string) error {
		return fmt.Errorf("%w: %s:%d: %s", ErrInvalid, path, line, cause)
	}
	var found *Broker
	number, authority, authorityLine := 0, "", 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		// A key has no colon, a URL has one before any equals sign.
		name, value, ok := strings.Cut(text, "=")
		if ok = ok && !strings.Contains(name, ":"); ok {
			name, text = strings.TrimSpace(name), unquoted(strings.TrimSpace(value))
		}
		switch {
		case ok && namesAuthority(name) && authorityLine != 0:
			return Broker{}, "", wrong(number, "a second "+name)
		case ok && namesAuthority(name) && text == "":
			return Broker{}, "", wrong(number, name+" has no path")
		case ok && namesAuthority(name):
			authority, authorityLine = text, number
			continue
		case ok && found == nil:
			key = name
		}
		b, err := ParseBroker(text)
		if err != nil {
			return Broker{}, "", fmt.Errorf("%w: %s:%d: %w", ErrInvalid, path, number, err)
		}
		if found == nil {
			found = &b
			continue
		}
		if !b.sameAccount(*found) {
			return Broker{}, "", wrong(number, "a second account; further lines are further addresses of the first one, with the same "+
				"user and password, virtual host and scheme")
		}
		found.Others = found.Others.With(b.Address())
	}
	switch {
	case found == nil:
		return Broker{}, "", fmt.Errorf("%w: %s: no line KEY = amqp://USER:PASSWORD@HOST", ErrInvalid, path)
	case authority != "" && !found.TLS:
		return Broker{}, "", wrong(authorityLine, KeyCAFile+" is for amqps://, and the account's URL is amqp://")
	case authority != "" && !filepath.IsAbs(authority):
		authority = filepath.Join(filepath.Dir(path), authority)
	}
	found.CAFile = authority
	return *found, key, nil
}

// sameAccount reports whether two addresses can be of one broker's account.
func (b Broker) sameAccount(c Broker) bool {
	return b.Username == c.Username && b.Password == c.Password && b.VHost == c.VHost && b.TLS == c.TLS
}

func namesAuthority(key string) bool {
	return key == KeyCAFile || strings.HasPrefix(key, shellWord) && strings.HasSuffix(key, shellCAFile)
}

// unquoted undoes a shell's single quotes around the whole.
func unquoted(text string) string {
	inner, opened := strings.CutPrefix(text, "'")
	inner, closed := strings.CutSuffix(inner, "'")
	if !opened || !closed {
		return text
	}
	return strings.ReplaceAll(inner, `'\''`, "'")
}

// ParseBroker reads amqp://USER:PASSWORD@HOST[:PORT][/VHOST], or amqps:// for TLS. Its errors do not quote the text, which holds a
// password.
func ParseBroker(uri string) (Broker, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return Broker{}, errors.New("not a URL amqp://USER:PASSWORD@HOST[:PORT][/VHOST]; " +
			"special characters in the password are written %XX")
	}
	if u.Scheme != schemePlain && u.Scheme != schemeTLS {
		return Broker{}, fmt.Errorf("the URL's scheme is %q, want amqp or amqps", u.Scheme)
	}
	b := Broker{Username: u.User.Username(), Host: u.Hostname(), VHost: defaultVHost, TLS: u.Scheme == schemeTLS}
	b.Port = b.defaultPort()
	password, hasPassword := u.User.Password()
	switch {
	case b.Username == "" || !hasPassword || password == "":
		return Broker{}, errors.New("the URL lacks USER:PASSWORD@")
	case b.Host == "":
		return Broker{}, errors.New("the URL lacks a host")
	case u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return Broker{}, errors.New("the URL has more than USER:PASSWORD@HOST[:PORT][/VHOST]")
	}
	b.Password = Secret(password)
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return Broker{}, fmt.Errorf("%q is not a port", port)
		}
		b.Port = n
	}
	if vhost := strings.TrimPrefix(u.Path, "/"); vhost != "" {
		b.VHost = vhost
	}
	return b, nil
}
