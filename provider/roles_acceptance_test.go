//go:build acceptance

package provider

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// TestAccRolesAreLeast tries, as a user of each role, what the role is for and what it must not do.
func TestAccRolesAreLeast(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	s.fanouts.Lock()
	defer s.fanouts.Unlock()
	s.declareFanouts(t)
	if err := ensureRejected(ctx, s.management); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, management.RejectedQueue, false) })
	requests := "debci-" + unique("rel") + "-amd64"
	if err := s.management.DeclareQueue(ctx, requests); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, requests, false) })
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, "debci-stray", false) })
	message := amqp.Publishing{Body: []byte("gzip\n{}")}
	operations := map[string]func(*amqp.Channel) error{
		"publish a request": func(c *amqp.Channel) error { return published(c, "", requests, message) },
		"take a request": func(c *amqp.Channel) error {
			_, _, err := c.Get(requests, true)
			return err
		},
		"purge requests": func(c *amqp.Channel) error {
			_, err := c.QueuePurge(requests, false)
			return err
		},
		"remove a request queue": func(c *amqp.Channel) error {
			_, err := c.QueueDelete(requests, false, true, false)
			return err
		},
		"make a queue": func(c *amqp.Channel) error {
			_, err := c.QueueDeclare("debci-stray", true, false, false, false, nil)
			return err
		},
		"redeclare a request queue": func(c *amqp.Channel) error {
			_, err := c.QueueDeclare(requests, true, false, false, false, nil)
			return err
		},
		"declare the exchange of states": func(c *amqp.Channel) error {
			return c.ExchangeDeclare("teststatus.fanout", "fanout", false, false, false, false, nil)
		},
		"ask for the exchange of results": func(c *amqp.Channel) error {
			return c.ExchangeDeclarePassive("testcomplete.fanout", "fanout", true, false, false, false, nil)
		},
		"remove the exchange of results": func(c *amqp.Channel) error { return c.ExchangeDelete("testcomplete.fanout", false, false) },
		"announce a state":               func(c *amqp.Channel) error { return published(c, "teststatus.fanout", "", message) },
		"declare the exchange of results": func(c *amqp.Channel) error {
			return c.ExchangeDeclare("testcomplete.fanout", "fanout", true, false, false, false, nil)
		},
		"announce a result": func(c *amqp.Channel) error { return published(c, "testcomplete.fanout", "", message) },
		"listen to results": func(c *amqp.Channel) error {
			if _, err := c.QueueDeclare("complete-listener", true, false, false, false, nil); err != nil {
				return err
			}
			return c.QueueBind("complete-listener", "complete-listener", "testcomplete.fanout", false, nil)
		},
		"command workers":         func(c *amqp.Channel) error { return published(c, "autopkgtest.control", "", message) },
		"hear commands":           func(c *amqp.Channel) error { return listened(c, "autopkgtest.control") },
		"answer a command":        func(c *amqp.Channel) error { return published(c, "autopkgtest.answers", "", message) },
		"hear answers":            func(c *amqp.Channel) error { return listened(c, "autopkgtest.answers") },
		"keep a rejected request": func(c *amqp.Channel) error { return published(c, "autopkgtest.rejected", "", message) },
		"read rejected requests": func(c *amqp.Channel) error {
			_, _, err := c.Get("rejected-requests", false)
			return err
		},
		"remove the exchange of commands": func(c *amqp.Channel) error {
			return c.ExchangeDelete("autopkgtest.control", false, false)
		},
		"declare the exchange of commands": func(c *amqp.Channel) error {
			return c.ExchangeDeclare("autopkgtest.control", "fanout", true, false, false, false, nil)
		},
		"look at a queue": func(c *amqp.Channel) error {
			_, err := c.QueueDeclarePassive(requests, true, false, false, false, nil)
			return err
		},
	}
	// These need no right at all.
	everybody := []string{"look at a queue", "ask for the exchange of results"}
	allowed := map[management.Role][]string{
		management.Requester: {"publish a request"},
		management.Operator:  {"publish a request", "command workers", "hear answers", "read rejected requests"},
		// What a worker reads it can also purge: the broker has one right for both.
		management.Worker: {"take a request", "purge requests", "declare the exchange of states", "announce a state",
			"announce a result", "hear commands", "answer a command", "keep a rejected request"},
		management.UpstreamWorker: {"take a request", "purge requests", "declare the exchange of states", "announce a state",
			"declare the exchange of results", "announce a result", "redeclare a request queue",
			// Whoever may declare may also make and delete.
			"make a queue", "remove a request queue", "remove the exchange of results"},
		management.Collector: {"declare the exchange of states", "declare the exchange of results", "listen to results",
			"remove the exchange of results"},
		management.Monitor: {},
	}
	for _, role := range management.Roles {
		t.Run(string(role), func(t *testing.T) {
			account := s.roleAccount(t, role)
			connection, err := amqp.Dial(account.URI().Reveal())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			may := map[string]bool{}
			for _, name := range slices.Concat(everybody, allowed[role]) {
				if operations[name] == nil {
					t.Errorf("nothing is called %q", name)
				}
				may[name] = true
			}
			for name, do := range operations {
				s.declareFanouts(t)
				if err := s.management.DeclareQueue(ctx, requests); err != nil {
					t.Fatal(err)
				}
				channel, err := connection.Channel()
				if err != nil {
					t.Fatal(err)
				}
				err = do(channel)
				var refusal *amqp.Error
				switch {
				case err == nil && !may[name]:
					t.Errorf("a %s can %s", role, name)
				case err != nil && may[name]:
					t.Errorf("a %s cannot %s: %v", role, name, err)
				case err != nil && (!errors.As(err, &refusal) || refusal.Code != amqp.AccessRefused):
					t.Errorf("%s, as a %s: %v", name, role, err)
				}
				_ = channel.Close()
			}
		})
	}
}

func (s *sharedStack) declareFanouts(t *testing.T) {
	t.Helper()
	for _, exchange := range management.Fanouts {
		if err := s.management.DeclareExchange(context.Background(), exchange); err != nil {
			t.Fatal(err)
		}
	}
}

// roleAccount makes a user of a role, which goes with the test.
func (s *sharedStack) roleAccount(t *testing.T, role management.Role) config.Broker {
	t.Helper()
	ctx := context.Background()
	account := config.Broker{Username: unique("role"), Password: config.NewSecret(), Host: s.broker.Host, Port: s.broker.Port}
	if err := ensureUser(ctx, s.management, account, rightsOfRole(role)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteUser(ctx, account.Username) })
	return account
}

// listened has the broker make a queue that hears what an exchange sends, and listens to it.
func listened(c *amqp.Channel, exchange string) error {
	queue, err := c.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return err
	}
	if err := c.QueueBind(queue.Name, "", exchange, false, nil); err != nil {
		return err
	}
	_, err = c.Consume(queue.Name, "", true, true, false, false, nil)
	return err
}

// published waits for the broker's word: a publish that is not allowed fails only afterwards.
func published(c *amqp.Channel, exchange, key string, message amqp.Publishing) error {
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if err := c.Confirm(false); err != nil {
		return err
	}
	confirmed := c.NotifyPublish(make(chan amqp.Confirmation, 1))
	if err := c.Publish(exchange, key, false, false, message); err != nil {
		return err
	}
	if _, ok := <-confirmed; ok {
		return nil
	}
	return <-closed // both end with the channel
}

// TestAccMonitorLooks: the management API shows a monitor what dashboards need, and takes no change from it.
func TestAccMonitorLooks(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	queue := "debci-" + unique("rel") + "-amd64"
	if err := s.management.DeclareQueue(ctx, queue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, queue, false) })
	account := s.roleAccount(t, management.Monitor)
	victim, err := amqp.Dial(s.roleAccount(t, management.Requester).URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	call := func(method, path, body string) int {
		request, err := http.NewRequest(method, s.broker.ManagementURL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(account.Username, account.Password.Reveal())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	for _, path := range []string{
		"/api/overview", "/api/nodes", "/api/queues", "/api/queues/%2F/" + queue, "/api/connections", "/api/channels",
		"/api/consumers", "/api/exchanges/%2F",
	} {
		if code := call("GET", path, ""); code != http.StatusOK {
			t.Errorf("GET %s: %d", path, code)
		}
	}
	for what, c := range map[string]struct{ method, path, body string }{
		"make a queue":      {"PUT", "/api/queues/%2F/debci-stray-amd64", `{"durable":true}`},
		"delete a queue":    {"DELETE", "/api/queues/%2F/" + queue, ""},
		"purge a queue":     {"DELETE", "/api/queues/%2F/" + queue + "/contents", ""},
		"read a queue":      {"POST", "/api/queues/%2F/" + queue + "/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`},
		"publish":           {"POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{},"routing_key":"` + queue + `","payload":"x","payload_encoding":"string"}`},
		"make a user":       {"PUT", "/api/users/mallory", `{"password":"x","tags":"administrator"}`},
		"see password hash": {"GET", "/api/users", ""},
		"grant itself all":  {"PUT", "/api/permissions/%2F/" + account.Username, `{"configure":".*","write":".*","read":".*"}`},
		"set a policy":      {"PUT", "/api/policies/%2F/p", `{"pattern":".*","definition":{"max-length":1}}`},
		"copy definitions":  {"GET", "/api/definitions", ""},
	} {
		if code := call(c.method, c.path, c.body); code != http.StatusUnauthorized && code != http.StatusForbidden &&
			code != http.StatusBadRequest {
			t.Errorf("%s: %s %s: %d, want a refusal", what, c.method, c.path, code)
		}
	}
	if ready, err := s.management.Users(ctx); err != nil || slices.Contains(ready, "mallory") {
		t.Errorf("users %v, %v", ready, err)
	}
}

// upstreamProgram does with pika, the library that it uses, what the upstream worker does; and then what britney's side does.
const upstreamProgram = `
import os, pika
worker, requester, queue = os.environ["WORKER"], os.environ["REQUESTER"], os.environ["QUEUE"]

connection = pika.BlockingConnection(pika.URLParameters(worker))
channel = connection.channel()
channel.basic_qos(prefetch_count=1, global_qos=True)
channel.queue_declare(queue, durable=True, auto_delete=False, exclusive=False)
channel.exchange_declare("teststatus.fanout", exchange_type="fanout", durable=False)
channel.exchange_declare("testcomplete.fanout", exchange_type="fanout", durable=True)

requests = pika.BlockingConnection(pika.URLParameters(requester)).channel()
requests.confirm_delivery()
requests.basic_publish("", queue, b"gzip\n{}", pika.BasicProperties(delivery_mode=2), mandatory=True)

method, _, body = channel.basic_get(queue)
assert body == b"gzip\n{}", body
channel.basic_publish("teststatus.fanout", "", b"{}", pika.BasicProperties(delivery_mode=2))
confirmed = connection.channel()
confirmed.confirm_delivery()
confirmed.basic_publish("testcomplete.fanout", "", b"{}", pika.BasicProperties(delivery_mode=2))
channel.basic_ack(method.delivery_tag)
connection.process_data_events()

def refused(uri, what, do):
    c = pika.BlockingConnection(pika.URLParameters(uri)).channel()
    try:
        do(c)
    except pika.exceptions.ChannelClosedByBroker as e:
        assert e.reply_code == 403, (what, e)
        return
    raise SystemExit(what + " was not refused")

refused(requester, "get", lambda c: c.basic_get(queue))
refused(requester, "consume", lambda c: c.basic_consume(queue, lambda *a: None))
refused(requester, "declare", lambda c: c.queue_declare(queue, durable=True))
refused(requester, "purge", lambda c: c.queue_purge(queue))
refused(requester, "delete", lambda c: c.queue_delete(queue))

def published(exchange, key):
    def do(c):
        c.confirm_delivery()
        c.basic_publish(exchange, key, b"x")
    return do
refused(requester, "publish to the exchange for results", published("testcomplete.fanout", ""))
refused(worker, "publish to the default exchange", published("", queue))
refused(worker, "publish a command", published("autopkgtest.control", ""))
refused(worker, "read rejected requests", lambda c: c.basic_get("rejected-requests"))
refused(worker, "make another queue", lambda c: c.queue_declare("stray"))
print("done")
`

// TestAccUpstreamWorkerWorks uses the library of the upstream worker, with a user of its role.
func TestAccUpstreamWorkerWorks(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	s.fanouts.Lock()
	defer s.fanouts.Unlock()
	s.declareFanouts(t)
	if err := ensureRejected(ctx, s.management); err != nil {
		t.Fatal(err)
	}
	queue := "debci-" + unique("rel") + "-amd64"
	if err := s.management.DeclareQueue(ctx, queue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, queue, false) })
	worker, requester := s.roleAccount(t, management.UpstreamWorker), s.roleAccount(t, management.Requester)
	command := exec.Command("/usr/bin/python3", "-")
	command.Stdin = strings.NewReader(upstreamProgram)
	// Passwords are never arguments.
	command.Env = append(os.Environ(), "WORKER="+worker.URI().Reveal(), "REQUESTER="+requester.URI().Reveal(), "QUEUE="+queue)
	if out, err := command.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAccPatternsAreJudgedAsTheBrokerDoes compares the check of a plan with what the broker says.
func TestAccPatternsAreJudgedAsTheBrokerDoes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	account := s.roleAccount(t, management.Requester)
	for _, pattern := range []string{
		".*", "", `^(debci-noble-.*|teststatus\.fanout)$`, `^[[:alpha:]\d.-]+$`, `^.*?-amd64$`, "^(debci-.*$", "^debci-.*)$", "^[a-z$",
		"*-amd64", `^debci\`, "^[z-a]$", `^(?!amq\.).*$`, `^(a)\1$`, "^a++$", "^a{2000}$", `^\h$`, "^(?<!x$", `^(a)\2$`, "a**",
	} {
		judged := management.CheckPattern(pattern)
		said := s.management.PutPermissions(ctx, account.Username, management.Permissions{Configure: "^$", Write: pattern, Read: "^$"})
		if said != nil && !errors.Is(said, management.ErrRefused) {
			t.Fatal(said)
		}
		if !errors.Is(judged, management.ErrUnchecked) && (judged == nil) != (said == nil) {
			t.Errorf("%q: the check says %v, the broker %v", pattern, judged, said)
		}
	}
}
