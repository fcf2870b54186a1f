package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// systemKnownHosts are those of all accounts.
const systemKnownHosts = "/etc/ssh/ssh_known_hosts"

// trust is whom a connection believes.
type trust struct {
	check      ssh.HostKeyCallback
	algorithms []string // of keys that are known; nil for any
}

// trust finds the key that the machine must have. Nothing is ever accepted that was not known before.
func (p *Pool) trust(t Target) (trust, error) {
	if t.HostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.HostKey))
		if err != nil {
			return trust{}, t.problem(ErrHostKey, "has a host_key that is none", err,
				"Write it as ssh-keyscan or the machine's /etc/ssh/ssh_host_ed25519_key.pub have it: ssh-ed25519 AAAA...")
		}
		fixed := ssh.FixedHostKey(key)
		check := func(name string, remote net.Addr, offered ssh.PublicKey) error {
			if fixed(name, remote, offered) != nil {
				return t.changed(offered, "the one in host_key, "+ssh.FingerprintSHA256(key),
					"If the machine was installed anew, put its new key into host_key")
			}
			return nil
		}
		return trust{check: check, algorithms: signatures(key.Type())}, nil
	}
	var files []string
	for _, file := range []string{filepath.Join(p.folder(), "known_hosts"), systemKnownHosts} {
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return trust{}, fmt.Errorf("read the known hosts: %w", err)
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return trust{}, fmt.Errorf("read the known hosts: %w", err)
	}
	check := func(name string, remote net.Addr, offered ssh.PublicKey) error {
		err := known(name, remote, offered)
		var which *knownhosts.KeyError
		switch {
		case !errors.As(err, &which):
			return err
		case len(which.Want) == 0:
			return t.unknown(offered, p.folder())
		}
		return t.changed(offered, "the one in "+which.Want[0].Filename,
			fmt.Sprintf("If the machine was installed anew: ssh-keygen -R '%s', and learn its new key", knownhosts.Normalize(t.dial())))
	}
	return trust{check: check, algorithms: knownAlgorithms(known, t.dial())}, nil
}

func (t Target) unknown(offered ssh.PublicKey, folder string) error {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(offered)))
	return t.problem(ErrHostKey, "is not known: it shows the key "+ssh.FingerprintSHA256(offered), nil, fmt.Sprintf(
		"Compare that with what the machine itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). If it is the same, put "+
			"it into host_key, %q, or log in once with ssh, which adds it to %s", line, filepath.Join(folder, "known_hosts")))
}

func (t Target) changed(offered ssh.PublicKey, known, wayOut string) error {
	return t.problem(ErrHostKey, fmt.Sprintf("shows another key, %s, than %s: somebody else may be answering in its place",
		ssh.FingerprintSHA256(offered), known), nil, wayOut)
}

// knownAlgorithms are those of the keys that are known of a host. A server has several keys and shows the one that the client
// prefers: asked for another than the known one, it would look like a stranger.
func knownAlgorithms(known ssh.HostKeyCallback, address string) []string {
	var which *knownhosts.KeyError
	if !errors.As(known(address, &net.TCPAddr{IP: net.IPv4zero}, noKey{}), &which) {
		return nil
	}
	var algorithms []string
	for _, key := range which.Want {
		for _, algorithm := range signatures(key.Key.Type()) {
			if !slices.Contains(algorithms, algorithm) {
				algorithms = append(algorithms, algorithm)
			}
		}
	}
	return algorithms
}

// signatures are the algorithms that a type of key is used with.
func signatures(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
