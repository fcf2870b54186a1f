package management

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestGatekeepersDialectFirst: an account is tried in the dialect of others when the broker answers as RabbitMQ 4 does, and
// only then.
func TestGatekeepersDialectFirst(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string   // to whatever comes first
		want   []string // what clients begin with
	}{
		"RabbitMQ 4": {"AMQP\x00\x00\x09\x01", []string{"AMQP\x01\x01\x09\x01", "AMQP\x00\x00\x09\x01"}},
		"no broker":  {"HTTP/1.1 400 Bad Request\r\n\r\n", []string{"AMQP\x01\x01\x09\x01"}},
		"hangs up":   {"", []string{"AMQP\x01\x01\x09\x01"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			begun := make(chan string, 8)
			go func() {
				defer close(begun)
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					header := make([]byte, 8)
					_, _ = io.ReadFull(conn, header)
					begun <- string(header)
					_, _ = conn.Write([]byte(tc.answer))
					_ = conn.Close()
				}
			}()
			address, _ := listener.Addr().(*net.TCPAddr)
			account := config.Broker{Username: "britney", Password: "secret", Host: "127.0.0.1", Port: address.Port}
			m, failed := New("http://127.0.0.1:1", "administrator", "secret")
			if failed != nil {
				t.Fatal(failed)
			}
			_, _, err = m.dialRequester(context.Background(), account)
			_ = listener.Close()
			var got []string
			for header := range begun {
				got = append(got, header)
			}
			if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnfit) {
				t.Errorf("%v, want ErrUnavailable: the account is not to blame", err)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("clients began with %q, want %q", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("client %d began with %q, want %q", i, got[i], tc.want[i])
				}
			}
		})
	}
}
