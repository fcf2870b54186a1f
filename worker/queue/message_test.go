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
