package openstack

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

func publicKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestHostKeyOf(t *testing.T) {
	t.Parallel()
	first, second := publicKey(t), publicKey(t)
	block := func(key string) string { return keysBegin + "\n" + key + " root@machine\n" + keysEnd + "\n" }
	for name, test := range map[string]struct{ console, want string }{
		"plain":                 {"booting\n" + block(first) + "login:", first},
		"of the second boot":    {block(first) + "booting\n" + block(second), second},
		"beside others":         {keysBegin + "\nssh-rsa AAAA broken\nssh-ed25519 AAAA\n[   61.2] cloud-init[612]: " + first + "\r\n" + keysEnd, first},
		"half of it":            {keysBegin + "\n" + first + "\n", ""},
		"half of a second boot": {block(first) + keysBegin + "\n", ""},
		"none":                  {"FAKE CONSOLE OUTPUT\nANOTHER\nLAST LINE", ""},
		"nothing of a key":      {block("ssh-ed25519 AAAA"), ""},
	} {
		if got := hostKeyOf(test.console); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestEndOf(t *testing.T) {
	t.Parallel()
	text := endOf(strings.Repeat("line\n", 50) + "\x1b[31mred\x1b[0m\x07\r\n\n" + strings.Repeat("x", 10_000))
	if lines := strings.Split(text, "\n"); len(lines) != consoleLines || len(lines[consoleLines-1]) > 2*consoleWidth {
		t.Errorf("%d lines: %s", len(lines), text)
	}
	if strings.ContainsAny(text, "\x1b\x07\r") || !strings.Contains(text, "red") {
		t.Errorf("%q", text)
	}
}

func TestFirstOf(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]string{
		"": nil, "10.0.0.2": {"2001:db8::1", "10.0.0.9", "10.0.0.2"}, "2001:db8::1": {"2001:db8::2", "2001:db8::1"},
	} {
		var addresses []netip.Addr
		for _, text := range all {
			addresses = append(addresses, netip.MustParseAddr(text))
		}
		if got := firstOf(addresses); got != want {
			t.Errorf("%v: %s", all, got)
		}
	}
}

// TestFingerprint: what is begun is finished only in the way that it was begun in; what can be changed of a server is not in it.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	want := Instance{Name: "a", ImagePattern: "p", Flavor: "f", Network: "n", Key: "k", Groups: []string{"g"}, Data: []byte("d")}
	same := want
	same.Name, same.Groups = "b", nil
	if same.fingerprint() != want.fingerprint() {
		t.Error("a name and groups make another server")
	}
	seen := map[string]bool{want.fingerprint(): true}
	for _, other := range []Instance{
		{ImagePattern: "pf", Network: "n", Key: "k", Data: []byte("d")}, {ImagePattern: "p", Flavor: "f", Network: "n", Key: "k"},
		{ImagePattern: "p", Flavor: "f", Key: "k", Data: []byte("d")}, {ImagePattern: "p", Flavor: "f", Network: "n", Data: []byte("d")},
	} {
		if seen[other.fingerprint()] {
			t.Errorf("%+v is like another", other)
		}
		seen[other.fingerprint()] = true
	}
}

func TestSeenOf(t *testing.T) {
	t.Parallel()
	for want, server := range map[string]cloud.Server{
		"":                              {Status: "ACTIVE"},
		"it is switched off (SHUTOFF)":  {Status: "SHUTOFF"},
		"it does not run: PAUSED":       {Status: "PAUSED"},
		"it is in ERROR: no valid host": {Status: "ERROR", Fault: servers.Fault{Message: "no valid host"}},
		"it is in ERROR: the cloud says no reason":         {Status: "ERROR"},
		"it is not finished: its creation was interrupted": {Status: "ACTIVE", Metadata: map[string]string{makingKey: "x"}},
	} {
		if got := seenOf(&server); got.Trouble != want {
			t.Errorf("%s: %q, want %q", server.Status, got.Trouble, want)
		}
	}
	rebooting := seenOf(&cloud.Server{Status: "HARD_REBOOT"})
	if rebooting.Trouble != "" {
		t.Errorf("a reboot is trouble: %s", rebooting.Trouble)
	}
}

func TestGreeted(t *testing.T) {
	t.Parallel()
	for words, good := range map[string]bool{"SSH-2.0-x\r\n": true, "hello\r\nSSH-2.0-x\r\n": true, "HTTP/1.1 400 Bad\r\n": false, "": false} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			connection, err := listener.Accept()
			if err == nil {
				_, _ = connection.Write([]byte(words))
				_ = connection.Close()
			}
		}()
		if err := greeted(t.Context(), listener.Addr().String()); (err == nil) != good {
			t.Errorf("%q: %v", words, err)
		}
		<-answered
		_ = listener.Close()
	}
}

// TestUnreachable: silence has other reasons than a refusal, and at a fixed address one more than elsewhere.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		address string
		err     error
		want    []string
		not     string
	}{
		"a fixed address": {"10.0.0.5", os.ErrDeadlineExceeded, []string{"rule for tcp port 22", "route from here to 10.0.0.5", "floating"}, "booting"},
		"another address": {"192.0.2.7", os.ErrDeadlineExceeded, []string{"rule for tcp port 22", "192.0.2.7"}, "floating"},
		"silence":         {"192.0.2.7", errSilence, []string{"rule for tcp port 22"}, "booting"},
		"a refusal":       {"10.0.0.5", &net.OpError{Err: syscall.ECONNREFUSED}, []string{"still booting"}, "rule"},
		"another server":  {"10.0.0.5", errGreeting, []string{"no sshd there"}, "rule"},
	} {
		w := &waiting{made: Made{Address: "10.0.0.5"}, Wait: Wait{Target: machine.Target{Address: test.address, Port: 22}}}
		got := w.unreachable(test.err)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not speak of %s", name, got, want)
			}
		}
		if strings.Contains(got, test.not) {
			t.Errorf("%s: %q speaks of %s", name, got, test.not)
		}
	}
}
