package queue

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestRedelivered(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		delivery amqp.Delivery
		want     bool
	}{
		"new":                     {amqp.Delivery{}, false},
		"other headers":           {amqp.Delivery{Headers: amqp.Table{"x-death": "y"}}, false},
		"came back":               {amqp.Delivery{Redelivered: true}, true},
		"published again":         {amqp.Delivery{Headers: amqp.Table{RedeliveredHeader: true}}, true},
		"published again, a word": {amqp.Delivery{Headers: amqp.Table{RedeliveredHeader: "1"}}, true},
		"said not to":             {amqp.Delivery{Headers: amqp.Table{RedeliveredHeader: false}}, false},
	} {
		if got := redelivered(test.delivery); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
