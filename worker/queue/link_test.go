package queue

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// listen runs a server that treats each connection as told, and returns the broker's address.
func listen(t *testing.T, serve func(net.Conn)) config.Broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serve(connection)
			_ = connection.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-served })
	address := listener.Addr().(*net.TCPAddr)
	return config.Broker{Username: "u", Password: "p/@:?#", Host: "127.0.0.1", Port: address.Port}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, test := range map[string]struct {
		serve func(net.Conn)
		limit time.Duration
		stop  time.Duration // when the caller gives up
	}{
		"a server that says nothing":           {silent, 50 * time.Millisecond, time.Minute},
		"a caller that gives up":               {silent, time.Minute, 50 * time.Millisecond},
		"a server that hangs up":               {func(net.Conn) {}, time.Minute, time.Minute},
		"a server that speaks something else":  {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad\r\n\r\n")) }, time.Minute, time.Minute},
		"a server that speaks another version": {func(c net.Conn) { _, _ = c.Write([]byte("AMQP\x00\x01\x00\x00")) }, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := listen(t, test.serve)
			ctx, cancel := context.WithTimeout(t.Context(), test.stop)
			defer cancel()
			began := time.Now()
			s, err := Dial(ctx, broker, WithLimit(test.limit))
			if s != nil || !errors.Is(err, ErrUnreachable) {
				t.Errorf("Dial = %v, %v, want ErrUnreachable", s, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("Dial took %s", took)
			}
		})
	}
}

// TestDialTriesEveryAddress: an address that says nothing does not use up the time of those behind it, and the error names all.
func TestDialTriesEveryAddress(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 2)
	first := listen(t, func(c net.Conn) {
		reached <- "first"
		_, _ = io.Copy(io.Discard, c)
	})
	second := listen(t, func(net.Conn) { reached <- "second" })
	first.Others = first.Others.With(second.Address())
	began := time.Now()
	_, err := Dial(t.Context(), first, WithLimit(200*time.Millisecond))
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), first.Address()) || !strings.Contains(err.Error(), second.Address()) {
		t.Errorf("Dial: %v, want ErrUnreachable that names both addresses", err)
	}
	if got := []string{<-reached, <-reached}; got[0] != "first" || got[1] != "second" {
		t.Errorf("reached %v", got)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Dial took %s", took)
	}
}

func TestDialNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	if _, err := Dial(t.Context(), config.Broker{Username: "u", Host: "127.0.0.1", Port: port}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Dial: %v, want ErrUnreachable", err)
	}
}

func TestCategorise(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ err, want error }{
		"no access":       {&amqp.Error{Code: 403}, ErrRefused},
		"no vhost":        {&amqp.Error{Code: 530}, ErrRefused},
		"no queue":        {&amqp.Error{Code: 404}, ErrNoQueue},
		"other settings":  {&amqp.Error{Code: 406}, ErrConflict},
		"exclusive":       {&amqp.Error{Code: 405}, ErrConflict},
		"not implemented": {&amqp.Error{Code: 540}, ErrRefused},
		"going down":      {&amqp.Error{Code: 320}, ErrUnreachable},
		"the network":     {io.EOF, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := categorise(test.err); !errors.Is(got, test.want) || !errors.Is(got, test.err) {
				t.Errorf("categorise(%v) = %v, want %v that wraps it", test.err, got, test.want)
			}
		})
	}
	if categorise(nil) != nil {
		t.Error("categorise(nil) is an error")
	}
}

func TestCategoriseClosed(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{406: ErrOverdue, 404: ErrNoQueue, 320: ErrUnreachable} {
		reason := &amqp.Error{Code: code, Reason: "the broker's words"}
		if got := categoriseClosed(reason); !errors.Is(got, want) || !errors.Is(got, error(reason)) {
			t.Errorf("categoriseClosed(%v) = %v, want %v that wraps it", reason, got, want)
		}
	}
}

// A broker with an alarm takes no messages. Whoever publishes waits for its end, not for ever.
func TestWritableWaitsForTheAlarm(t *testing.T) {
	t.Parallel()
	l := &link{done: make(chan struct{})}
	closes, blocks := make(chan *amqp.Error, 1), make(chan amqp.Blocking)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		l.watch(closes, blocks)
	}()
	if err := l.writable(t.Context()); err != nil {
		t.Errorf("without an alarm: %v", err)
	}
	blocks <- amqp.Blocking{Active: true, Reason: "low on disk"}
	blocks <- amqp.Blocking{Active: true, Reason: "low on disk"} // told twice; and the first is noted by now
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("enough"))
	defer cancel()
	if err := l.writable(ctx); !errors.Is(err, ErrUnreachable) {
		t.Errorf("with an alarm: %v, want ErrUnreachable", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- l.writable(t.Context()) }()
	blocks <- amqp.Blocking{Active: false}
	if err := <-waiting; err != nil {
		t.Errorf("after the alarm: %v", err)
	}
	close(blocks)
	close(closes)
	<-watched
}
