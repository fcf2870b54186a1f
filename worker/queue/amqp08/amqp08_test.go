package amqp08

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// fakeBroker answers the first bytes of a client with some bytes, and hangs up.
func fakeBroker(t *testing.T, answer string) config.Broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, len(header)))
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	address, _ := listener.Addr().(*net.TCPAddr)
	return config.Broker{Username: "britney", Password: "secret", Host: "127.0.0.1", Port: address.Port}
}

// TestNoDialect: RabbitMQ 4 answers with the header of 0-9-1.
func TestNoDialect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer  string
		dialect bool
	}{
		"another version":     {"AMQP\x00\x00\x09\x01", true},
		"nothing":             {"", false},
		"no AMQP":             {"HTTP/1.1 400 Bad Request\r\n\r\n", false},
		"an enormous frame":   {"\x01\x00\x00\xff\xff\xff\xff", false},
		"version 0-9-1":       {"\x01\x00\x00\x00\x00\x00\x06\x00\x0a\x00\x0a\x00\x09\xce", true},
		"no such mechanism":   {"\x01\x00\x00\x00\x00\x00\x13\x00\x0a\x00\x0a\x08\x00\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\xce", true},
		"half of an answer":   {"\x01\x00\x00\x00\x00\x00\x13\x00\x0a", false},
		"a frame with no end": {"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Dial(context.Background(), fakeBroker(t, tc.answer))
			if err == nil || errors.Is(err, ErrDialect) != tc.dialect {
				t.Errorf("%v, want ErrDialect: %v", err, tc.dialect)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestContextEndsADial(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	address, _ := listener.Addr().(*net.TCPAddr)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = Dial(ctx, config.Broker{Host: "127.0.0.1", Port: address.Port})
	if err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// written is what a connection wrote.
type written struct {
	net.Conn
	bytes.Buffer
}

func (w *written) Read(p []byte) (int, error)  { return w.Buffer.Read(p) }
func (w *written) Write(p []byte) (int, error) { return w.Buffer.Write(p) }

// TestBytes has frames as amqplib writes them, put together by hand from the specification of 0-8.
func TestBytes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		write func(*Connection) error
		want  string
	}{
		"login": {
			func(c *Connection) error { return c.send(0, startOK(config.Broker{Username: "u", Password: "pw"})) },
			"01 0000 0000006c 000a 000b 00000035" +
				"07" + text("library") + "53 0000000e" + text("Python amqplib") +
				"0f" + text("library_version") + "53 00000005" + text("1.0.2") +
				"08" + text("AMQPLAIN") +
				"0000001c 05" + text("LOGIN") + "53 00000001" + text("u") + "08" + text("PASSWORD") + "53 00000002" + text("pw") +
				"05" + text("en_US") + "ce",
		},
		"publish": {
			func(c *Connection) error {
				return c.send(1, call(basicPublish).u16(0).short("").short("q").bits(false, false))
			},
			"01 0001 0000000a 003c 0028 0000 00 01 71 00 ce",
		},
		"header": {
			func(c *Connection) error { return c.write(frameHeader, 1, contentHeader(5)) },
			"02 0001 00000015 003c 0000 0000000000000005 5000 05 5554462d38 02 ce",
		},
		"declare": {
			func(c *Connection) error {
				return c.send(1, call(queueDeclare).u16(0).short("q").bits(false, true, false, false, false).table())
			},
			"01 0001 0000000d 0032 000a 0000 01 71 02 00000000 ce",
		},
	} {
		w := &written{}
		if err := tc.write(&Connection{conn: w}); err != nil {
			t.Fatal(err)
		}
		if got, want := hex.EncodeToString(w.Bytes()), strings.ReplaceAll(tc.want, " ", ""); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func text(s string) string { return hex.EncodeToString([]byte(s)) }

// FuzzExpect: whatever a broker sends, reading it ends, with an error or an answer.
func FuzzExpect(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce"))
	f.Add([]byte("\x08\x00\x00\x00\x00\x00\x00\xce\x01\x00\x01\x00\x00\x00\x0d\x00\x14\x00\x28\x01\x93\x02no\x00\x3c\x00\x46\xce"))
	f.Add([]byte("AMQP\x00\x00\x09\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Connection{conn: &written{}, reader: bufio.NewReader(bytes.NewReader(data))}
		if m, err := c.start(); err == nil {
			_ = m.offers("AMQPLAIN")
		}
		if m, err := c.expect(channelNumber, connectionTune, channelOpenOK); err == nil {
			_ = tuneOK(m)
		}
	})
}
