// Package queuetest gives a test a real broker of its own: a virtual host of a running RabbitMQ, with users, queues and
// the means to break connections.
//
// It starts no broker. Tests with the tag "component" use it; they are run by `make test`, which names the broker in the
// environment. Start reading at New.
package queuetest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// The variables that `make test` sets.
const (
	amqpVariable       = "AUTOPKGTEST_TEST_AMQP"       // amqp://ADMIN:PASSWORD@HOST:PORT/
	amqpsVariable      = "AUTOPKGTEST_TEST_AMQPS"      // path of a credentials file for AMQP over TLS
	managementVariable = "AUTOPKGTEST_TEST_MANAGEMENT" // http://ADMIN:PASSWORD@HOST:PORT
)

// Broker is a virtual host for one test, removed when that ends.
type Broker struct {
	// Admin may do everything in the virtual host.
	Admin config.Broker

	management *url.URL
}

// New makes a virtual host with a random name. Without a broker the test fails: a skipped test proves nothing.
func New(t testing.TB) *Broker {
	t.Helper()
	uri, management := os.Getenv(amqpVariable), os.Getenv(managementVariable)
	if uri == "" || management == "" {
		t.Fatalf("%s and %s are not set: this test needs a real broker, `make test` starts one", amqpVariable, managementVariable)
	}
	admin, err := config.ParseBroker(uri)
	if err != nil {
		t.Fatalf("%s: %v", amqpVariable, err)
	}
	base, err := url.Parse(management)
	if err != nil {
		t.Fatalf("%s: not a URL", managementVariable)
	}
	b := &Broker{Admin: admin, management: base}
	b.Admin.VHost = "test-" + strings.ToLower(rand.Text()[:10])
	b.Do(t, http.MethodPut, "/api/vhosts/"+b.Admin.VHost, nil)
	t.Cleanup(func() { b.Do(t, http.MethodDelete, "/api/vhosts/"+b.Admin.VHost, nil) })
	b.permit(t, b.Admin.Username, ".*", ".*", ".*")
	return b
}

// OverTLS is the administrator's account over TLS.
func (b *Broker) OverTLS(t testing.TB) config.Broker {
	t.Helper()
	secure, err := config.ReadBroker(os.Getenv(amqpsVariable))
	if err != nil {
		t.Fatalf("%s: %v", amqpsVariable, err)
	}
	secure.VHost = b.Admin.VHost
	return secure
}

// User makes a user with the given permissions in the virtual host.
func (b *Broker) User(t testing.TB, name, configure, write, read string) config.Broker {
	t.Helper()
	user := b.Admin
	user.Username = name + "-" + strings.ToLower(rand.Text()[:10])
	user.Password = config.Secret("p/@:?#%&ü" + rand.Text())
	b.Do(t, http.MethodPut, "/api/users/"+user.Username, map[string]any{"password": user.Password.Reveal(), "tags": ""})
	t.Cleanup(func() { b.Do(t, http.MethodDelete, "/api/users/"+user.Username, nil) })
	b.permit(t, user.Username, configure, write, read)
	return user
}

func (b *Broker) permit(t testing.TB, user, configure, write, read string) {
	t.Helper()
	b.Do(t, http.MethodPut, "/api/permissions/"+b.Admin.VHost+"/"+user,
		map[string]string{"configure": configure, "write": write, "read": read})
}

// Names lists what a call of the management API answers.
func (b *Broker) Names(t testing.TB, path string) []string {
	t.Helper()
	var found []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(b.Do(t, http.MethodGet, path, nil), &found); err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name
	}
	return names
}

// DeclareFanout makes a durable fanout exchange, with a binding to each of the queues.
func (b *Broker) DeclareFanout(t testing.TB, name string, queues ...string) {
	t.Helper()
	b.Do(t, http.MethodPut, "/api/exchanges/"+b.Admin.VHost+"/"+name, map[string]any{"type": "fanout", "durable": true})
	for _, queue := range queues {
		b.Do(t, http.MethodPost, "/api/bindings/"+b.Admin.VHost+"/e/"+name+"/q/"+queue, map[string]any{})
	}
}

// DeclareQueue makes a durable queue without arguments, as request queues are.
func (b *Broker) DeclareQueue(t testing.TB, name string) {
	t.Helper()
	b.Do(t, http.MethodPut, "/api/queues/"+b.Admin.VHost+"/"+name, map[string]any{"durable": true})
}

// DeleteQueue removes a queue with its messages.
func (b *Broker) DeleteQueue(t testing.TB, name string) {
	t.Helper()
	b.Do(t, http.MethodDelete, "/api/queues/"+b.Admin.VHost+"/"+name, nil)
}

// CloseConnections closes all connections of the virtual host from the broker's side. The management plugin learns of
// connections with a delay of seconds, so it waits until it sees at least as many as asked for.
func (b *Broker) CloseConnections(t testing.TB, atLeast int) {
	t.Helper()
	var open []struct {
		Name string `json:"name"`
	}
	Eventually(t, fmt.Sprintf("%d connections in the broker's list", atLeast), func() bool {
		open = nil
		if err := json.Unmarshal(b.Do(t, http.MethodGet, "/api/vhosts/"+b.Admin.VHost+"/connections", nil), &open); err != nil {
			t.Fatal(err)
		}
		return len(open) >= atLeast
	})
	for _, connection := range open {
		b.Do(t, http.MethodDelete, "/api/connections/"+url.PathEscape(connection.Name), nil)
	}
}

// Do calls the management API and returns the answer. What is gone already may be deleted again.
func (b *Broker) Do(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	// Not the test's context: clean-up runs after its end.
	request, err := http.NewRequest(method, b.management.Scheme+"://"+b.management.Host+path, content)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := b.management.User.Password()
	request.SetBasicAuth(b.management.User.Username(), password)
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	// A connection that ends by itself while the node closes it is a 404, or a 500 when the node notices late.
	ended := answer.StatusCode == http.StatusNotFound ||
		answer.StatusCode == http.StatusInternalServerError && strings.HasPrefix(path, "/api/connections/")
	gone := method == http.MethodDelete && ended
	if answer.StatusCode >= 300 && !gone {
		t.Fatalf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return text
}

// Eventually waits until a condition holds, for what another process does in its own time. It fails the test after 60 s.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-ticker.C {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}
