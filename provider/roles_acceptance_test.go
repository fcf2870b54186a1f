//go:build acceptance

package provider

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestAccRolesAreLeast tries, as a user of each role, what the role is for and what it must not do.
func TestAccRolesAreLeast(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := context.Background()
	s.fanouts.Lock()
	defer s.fanouts.Unlock()
	for _, exchange := range rabbitmq.Fanouts {
		if err := s.management.DeclareExchange(ctx, exchange); err != nil {
			t.Fatal(err)
		}
	}
	if err := ensureRejected(ctx, s.management); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, rabbitmq.RejectedQueue, false) })
	requests := "debci-" + unique("rel") + "-amd64"
	if err := s.management.DeclareQueue(ctx, requests); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.management.DeleteQueue(ctx, requests, false) })
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
	allowed := map[rabbitmq.Role][]string{
		rabbitmq.Requester: {"publish a request", "look at a queue"},
		rabbitmq.Operator:  {"publish a request", "look at a queue", "command workers", "hear answers", "read rejected requests"},
		// What a worker reads it can also purge: the broker has one right for both.
		rabbitmq.Worker: {"take a request", "purge requests", "declare the exchange of results", "announce a result",
			"look at a queue", "hear commands", "answer a command", "keep a rejected request"},
		rabbitmq.Collector: {"declare the exchange of results", "listen to results", "look at a queue"},
	}
	for _, role := range rabbitmq.Roles {
		t.Run(string(role), func(t *testing.T) {
			account := config.Broker{Username: unique("role"), Password: newPassword(), Host: s.broker.Host, Port: s.broker.Port}
			if err := ensureUser(ctx, s.management, account, role); err != nil {
				t.Fatal(err)
			}
			connection, err := amqp.Dial(account.URI().Reveal())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			may := map[string]bool{}
			for _, name := range allowed[role] {
				may[name] = true
			}
			for name, do := range operations {
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
