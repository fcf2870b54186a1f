//go:build component

package management

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// realUser makes a user of the test's own.
func realUser(t *testing.T, m *Client, broker config.Broker, p Permissions) config.Broker {
	t.Helper()
	account := broker
	account.Username = "proof-" + strings.ToLower(rand.Text()[:10])
	account.Password = config.NewSecret()
	if err := m.PutUser(t.Context(), User{Name: account.Username, PasswordHash: HashPassword(account.Password), Tags: OurTags}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.DeleteUser(context.Background(), account.Username) }) // the test's context is over by then
	if p != (Permissions{}) {
		if err := m.PutPermissions(t.Context(), account.Username, p); err != nil {
			t.Fatal(err)
		}
	}
	return account
}

// TestProveRequesterForReal: a requester passes, in the gatekeeper's dialect; whoever may do less or more does not; and
// nothing is left of it.
func TestProveRequesterForReal(t *testing.T) {
	t.Parallel()
	m, broker := realBroker(t)
	right := Requester.Permissions()
	for name, tc := range map[string]struct {
		permissions Permissions
		change      func(*config.Broker)
		want        string // none if it passes
	}{
		"a requester":         {right, nil, ""},
		"no right at all":     {Permissions{}, nil, "cannot log in"},
		"may not write":       {Permissions{nothing, nothing, nothing}, nil, "cannot publish a request"},
		"may read":            {Permissions{nothing, right.Write, ".*"}, nil, "can read from a queue"},
		"may declare":         {Permissions{".*", right.Write, nothing}, nil, "can declare a queue"},
		"a wrong password":    {right, func(b *config.Broker) { b.Password = "wrong" }, "cannot log in"},
		"another one's vhost": {right, func(b *config.Broker) { b.VHost = "nowhere" }, "cannot log in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := realUser(t, m, broker, tc.permissions)
			if tc.change != nil {
				tc.change(&account)
			}
			begin := time.Now()
			dialect, err := m.ProveRequester(t.Context(), account)
			t.Logf("%s: %q, %v", time.Since(begin).Round(time.Millisecond), dialect, err)
			switch {
			case tc.want == "" && (err != nil || dialect != DialectGatekeeper):
				t.Errorf("%q, %v; want success", dialect, err)
			case tc.want != "" && (!errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want ErrUnfit with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), account.Password.Reveal()) && account.Password != "wrong" {
				t.Error("the password is in the error")
			}
		})
	}
	t.Run("over TLS", func(t *testing.T) {
		t.Parallel()
		account := realUser(t, m, broker, right)
		secure, err := config.ReadBroker(os.Getenv("AUTOPKGTEST_TEST_AMQPS"))
		if err != nil {
			t.Fatal(err)
		}
		account.TLS, account.Host, account.Port, account.CAFile = true, secure.Host, secure.Port, secure.CAFile
		if dialect, err := m.ProveRequester(t.Context(), account); err != nil || dialect != DialectGatekeeper {
			t.Errorf("%q, %v; want success", dialect, err)
		}
		client, err := dialOther(t.Context(), account, new(net.Dialer).DialContext)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		if err := client.Publish(t.Context(), realQueue(t, m), []byte("a request")); err != nil {
			t.Errorf("in the dialect of others: %v", err)
		}
		account.CAFile = ""
		if _, err := m.ProveRequester(t.Context(), account); err == nil || !strings.Contains(err.Error(), "no authority that this machine knows") {
			t.Errorf("a broker that nobody vouches for: %v", err)
		}
	})
	t.Run("in the dialect of others", func(t *testing.T) {
		t.Parallel()
		for _, tc := range []struct {
			permissions Permissions
			want        string
		}{
			{right, ""},
			{Permissions{nothing, nothing, nothing}, "cannot publish a request"},
			{Permissions{nothing, right.Write, ".*"}, "can read from a queue"},
			{Permissions{".*", right.Write, nothing}, "can declare a queue"},
		} {
			account := realUser(t, m, broker, tc.permissions)
			client, err := dialOther(t.Context(), account, new(net.Dialer).DialContext)
			if err != nil {
				t.Fatal(err)
			}
			probe := probePrefix + strings.ToLower(rand.Text())
			if err := m.declareProbe(t.Context(), probe); err != nil {
				t.Fatal(err)
			}
			err = m.prove(t.Context(), client, account.Username, probe)
			if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v: %v, want %q", tc.permissions, err, tc.want)
			}
			_ = client.Close()
			if err := m.DeleteQueue(t.Context(), probe, false); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		queues, err := m.Queues(context.Background())
		if err != nil {
			t.Error(err)
		}
		for name := range queues {
			if strings.HasPrefix(name, probePrefix) {
				t.Errorf("%s is left behind", name)
			}
		}
	})
}
