package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Broker is an account at the message broker.
type Broker struct {
	Username string
	Password Secret
	Host     string
	Port     int    // 0 means DefaultPort
	VHost    string // empty means "/"
}

// DefaultPort is AMQP's. Clients that see only the host of a URL, as the gatekeeper does, use no other.
const DefaultPort = 5672

const defaultVHost = "/"

// Keys of a broker's credentials file.
const (
	KeyGatekeeper = "ADT_AMQP" // for a requester: the line can be included in the gatekeeper's own configuration
	KeyURI        = "uri"
)

// Address is HOST:PORT.
func (b Broker) Address() string {
	port := b.Port
	if port == 0 {
		port = DefaultPort
	}
	return net.JoinHostPort(b.Host, strconv.Itoa(port))
}

// URI is amqp://USER:PASSWORD@HOST[:PORT][/VHOST], port and vhost left out when they are the default.
func (b Broker) URI() Secret {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(b.Username, b.Password.Reveal()), Host: b.Host}
	if b.Port != 0 && b.Port != DefaultPort {
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

// File is the content of a credentials file: a line KEY = URI, or with a ShellKey one for a shell. It holds the password:
// write it with mode 0600.
func (b Broker) File(key string) []byte {
	line := b.Line(key)
	if name, shell := strings.CutPrefix(key, shellWord); shell {
		line = b.Shell(name)
	}
	return fmt.Appendf(nil, "# an account at the message broker: keep it readable by its owner alone\n%s\n", line.Reveal())
}

// Line is KEY = URI, as the gatekeeper's configuration has it.
func (b Broker) Line(key string) Secret { return Secret(key + " = " + b.URI().Reveal()) }

// Shell is a line that gives a shell the variable KEY: export KEY='URI'.
func (b Broker) Shell(key string) Secret {
	return Secret(shellWord + key + "='" + strings.ReplaceAll(b.URI().Reveal(), "'", `'\''`) + "'")
}

// ReadBroker reads a broker's credentials file: one line KEY = URI, whatever the key, or the URI alone.
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
	var found *Broker
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		if found != nil {
			return Broker{}, "", fmt.Errorf("%w: %s:%d: a second account; the file holds one", ErrInvalid, path, number)
		}
		// A key has no colon, a URL has one before any equals sign.
		if name, value, ok := strings.Cut(text, "="); ok && !strings.Contains(name, ":") {
			key, text = strings.TrimSpace(name), unquoted(strings.TrimSpace(value))
		}
		b, err := ParseBroker(text)
		if err != nil {
			return Broker{}, "", fmt.Errorf("%w: %s:%d: %w", ErrInvalid, path, number, err)
		}
		found = &b
	}
	if found == nil {
		return Broker{}, "", fmt.Errorf("%w: %s: no line KEY = amqp://USER:PASSWORD@HOST", ErrInvalid, path)
	}
	return *found, key, nil
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

// ParseBroker reads amqp://USER:PASSWORD@HOST[:PORT][/VHOST]. Its errors do not quote the text, which holds a password.
func ParseBroker(uri string) (Broker, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return Broker{}, errors.New("not a URL amqp://USER:PASSWORD@HOST[:PORT][/VHOST]; " +
			"special characters in the password are written %XX")
	}
	if u.Scheme != "amqp" {
		return Broker{}, fmt.Errorf("the URL's scheme is %q, want amqp", u.Scheme)
	}
	b := Broker{Username: u.User.Username(), Host: u.Hostname(), Port: DefaultPort, VHost: defaultVHost}
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
