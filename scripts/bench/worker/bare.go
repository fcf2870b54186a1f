package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	swiftlib "github.com/ncw/swift/v2"
	amqp "github.com/rabbitmq/amqp091-go"
)

// bare is the loop that the worker is compared with: it consumes a request, stores three objects and acknowledges, and cares
// for nothing else. It uses the libraries as they are.
type bare struct {
	connection *amqp.Connection
	deliveries <-chan amqp.Delivery
	swift      *swiftlib.Connection
	container  string
	objects    []content // result.tar last
	stored     int
}

type content struct {
	name string
	body []byte
}

func (c *cloud) startBare(ctx context.Context, queue, container string, objects []content) (*bare, error) {
	b := &bare{container: container, objects: objects, swift: &swiftlib.Connection{
		AuthUrl: c.account.AuthURL, UserName: c.account.Username, ApiKey: c.account.Password.Reveal(), AuthVersion: 1,
		Transport: &http.Transport{MaxIdleConnsPerHost: 4},
	}}
	if err := b.swift.Authenticate(ctx); err != nil {
		return nil, err
	}
	var err error
	if b.connection, err = amqp.Dial(c.admin.URI().Reveal()); err != nil {
		return nil, errors.New("the bare loop is refused by the broker")
	}
	channel, err := b.connection.Channel()
	if err == nil {
		err = channel.Qos(1, 0, false)
	}
	if err == nil {
		b.deliveries, err = channel.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	}
	if err != nil {
		return nil, errors.Join(err, b.connection.Close())
	}
	return b, nil
}

// one is one request. It returns when that was delivered, and when it was acknowledged.
func (b *bare) one(ctx context.Context) (got, done time.Time, err error) {
	select {
	case d, open := <-b.deliveries:
		if !open {
			return got, done, errors.New("the bare loop has lost its connection with the broker")
		}
		got = time.Now()
		b.stored++
		for _, object := range b.objects {
			name := "bare/" + strconv.Itoa(b.stored) + "/" + object.name
			if _, err := b.swift.ObjectPut(ctx, b.container, name, bytes.NewReader(object.body), false, "", "text/plain", nil); err != nil {
				return got, done, fmt.Errorf("store %s: %w", name, err)
			}
		}
		err = d.Ack(false)
		return got, time.Now(), err
	case <-ctx.Done():
		return got, done, context.Cause(ctx)
	}
}
