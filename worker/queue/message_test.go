package queue

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestWasDelivered(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flag    bool
		headers amqp.Table
		want    bool
	}{
		"new":                     {want: false},
		"the broker says so":      {flag: true, want: true},
		"the header says so":      {headers: amqp.Table{RedeliveredHeader: true}, want: true},
		"the header, as a text":   {headers: amqp.Table{RedeliveredHeader: "true"}, want: true},
		"the header, as a number": {headers: amqp.Table{RedeliveredHeader: int32(3)}, want: true},
		"the header denies it":    {headers: amqp.Table{RedeliveredHeader: false}, want: false},
		"denied as a text":        {headers: amqp.Table{RedeliveredHeader: "false"}, want: false},
		"both":                    {flag: true, headers: amqp.Table{RedeliveredHeader: false}, want: true},
		"another header":          {headers: amqp.Table{"x-death": "once"}, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wasDelivered(amqp.Delivery{Redelivered: test.flag, Headers: test.headers}); got != test.want {
				t.Errorf("redelivered: %t, want %t", got, test.want)
			}
		})
	}
}

// The handle is no part of the body, which other listeners know, and arrives all the same.
func TestStatusHeaders(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  Status
		headers map[string]string
	}{
		"ours": {
			Status{Package: "green", Handle: "20261125-152251-ab12cd34", Worker: "lab-1"},
			map[string]string{"handle": "20261125-152251-ab12cd34", "worker": "lab-1"},
		},
		"without": {Status{Package: "green"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := test.status.Message()
			if err != nil {
				t.Fatal(err)
			}
			body, err := test.status.Body()
			if err != nil || string(body) != string(m.Body) {
				t.Errorf("body %s, want %s, %v", m.Body, body, err)
			}
			p := m.publishing()
			got, err := StatusOf(Delivery{Body: p.Body, headers: p.Headers})
			if err != nil || got.Handle != test.status.Handle || got.Worker != test.status.Worker || got.Package != "green" {
				t.Errorf("read back: %+v, %v", got, err)
			}
			if len(p.Headers) != len(test.headers) {
				t.Errorf("headers %v, want %v", p.Headers, test.headers)
			}
		})
	}
	if s, err := StatusOf(Delivery{Body: []byte("{}"), headers: amqp.Table{"handle": int32(3)}}); err != nil || s.Handle != "" {
		t.Errorf("a header that is no text: %+v, %v", s, err)
	}
}
