package nova

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// text is random.
func text(length int) string { return rand.Text()[:length] }

// answering is an ssh server of the test's own, which answers each command with the next of its answers, and the last one for ever. An
// empty answer is a connection that breaks.
type answering struct {
	mu      sync.Mutex
	answers []string
}

func (a *answering) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	return answer
}

// serve returns how to reach it, with a key of its own.
func (a *answering) serve(t *testing.T) guest {
	t.Helper()
	known, err := readKey(openstacktest.PrivateKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return a.serveTo(t, known)
}

// serveTo lets in whoever has the key.
func (a *answering) serveTo(t *testing.T, known ssh.Signer) guest {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(known.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(known)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { a.connected(connection, config) })
		}
	})
	return guest{"127.0.0.1", listener.Addr().(*net.TCPAddr).Port, "joe", []ssh.Signer{known}}
}

func (a *answering) connected(connection net.Conn, config *ssh.ServerConfig) {
	defer connection.Close()
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		channel, requests, err := asked.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			if request.Type != "exec" {
				continue
			}
			answer := a.next()
			if answer == "" {
				return
			}
			_ = request.Reply(true, nil)
			_, _ = channel.Write([]byte(answer + "\n"))
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
			_ = channel.Close()
		}
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []string
		before  string
		change  func(*guest)
		want    string
		reason  string // why it does not come
	}{
		"at once":         {answers: []string{"one"}, want: "one"},
		"cut off twice":   {answers: []string{"", "", "one"}, want: "one"},
		"rebooted":        {answers: []string{"one", "one", "", "two"}, before: "one", want: "two"},
		"never rebooted":  {answers: []string{"one"}, before: "one", reason: "from before the reboot"},
		"another key":     {answers: []string{"one"}, change: func(g *guest) { g.keys = nil }, reason: "unable to authenticate"},
		"nobody is there": {answers: []string{"one"}, change: func(g *guest) { g.port = 1 }, reason: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := (&answering{answers: test.answers}).serve(t)
			limit := 10 * time.Second
			if test.change != nil {
				test.change(&g)
			}
			if test.reason != "" {
				limit = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("not back in time"))
			defer cancel()
			got, err := g.await(ctx, test.before)
			if got != test.want || (err == nil) != (test.reason == "") {
				t.Fatalf("%q, %v; want %q", got, err, test.want)
			}
			if err != nil && (!strings.Contains(err.Error(), test.reason) || !strings.Contains(err.Error(), "not back in time")) {
				t.Errorf("%v; want one that says %q", err, test.reason)
			}
		})
	}
}

// TestWaitReboot goes on from what the call before has noted.
func TestWaitReboot(t *testing.T) {
	t.Parallel()
	g := (&answering{answers: []string{"one", "two"}}).serve(t)
	folder, key := t.TempDir(), openstacktest.PrivateKey(t)
	if err := (account{folder}).write(record{Host: g.host, Port: g.port, BootID: "one", Opened: true}); err != nil {
		t.Fatal(err)
	}
	s := Setup{Plan: Plan{Account: folder, Login: "joe", KeyFile: key}, Answers: t.Output(), Says: t.Output()}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.WaitReboot(ctx); err == nil {
		t.Error("with a key that the server does not know")
	}
	signer, err := readKey(key)
	if err != nil {
		t.Fatal(err)
	}
	g = (&answering{answers: []string{"one", "", "two"}}).serveTo(t, signer)
	if err := (account{folder}).write(record{Host: g.host, Port: g.port, BootID: "one", Opened: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said, err := (account{folder}).read(); err != nil || said.BootID != "two" {
		t.Errorf("%+v, %v", said, err)
	}
}
