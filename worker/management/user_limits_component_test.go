//go:build component

package management

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// TestUserLimitsForReal: the broker keeps to them, a successor has them, and to write the user again does not take them away.
func TestUserLimitsForReal(t *testing.T) {
	t.Parallel()
	m, broker := realBroker(t)
	if err := m.CheckUserLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	account := realUser(t, m, broker, Requester.Permissions())
	limits := map[Limit]int{MaxConnections: 1, MaxChannels: 1}
	if err := m.PutUserLimits(t.Context(), account.Username, limits); err != nil {
		t.Fatal(err)
	}
	opens := func(account config.Broker) (*amqp.Connection, error) { return amqp.Dial(account.URI().Reveal()) }
	first, err := opens(account)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	// The broker counts what it has opened in its own time.
	queuetest.Eventually(t, "a second connection is refused", func() bool {
		second, err := opens(account)
		if err == nil {
			_ = second.Close()
		}
		return err != nil
	})
	if _, err := first.Channel(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Channel(); err == nil {
		t.Error("a second channel is opened") // that it is not ends the connection
	}
	user, err := m.User(t.Context(), account.Username)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.PutUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	next := Generation{User: account.Username, Serial: 1}
	t.Cleanup(func() { _ = m.DeleteUser(context.Background(), next.Name()) }) // the test's context is over by then
	if err := m.Succeed(t.Context(), next, Member{Generation{User: account.Username}, user}, user.PasswordHash); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{account.Username, next.Name()} {
		if got, err := m.UserLimits(t.Context(), name); err != nil || len(got) != 2 || got[MaxConnections] != 1 || got[MaxChannels] != 1 {
			t.Errorf("%s has the limits %v, %v", name, got, err)
		}
	}
}
