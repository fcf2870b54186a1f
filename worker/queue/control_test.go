package queue

import (
	"encoding/json"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	good := map[string]Command{
		`{"command":"cancel","handle":"20261125-152251-ab12cd34"}`:                 {Cancel, "20261125-152251-ab12cd34"},
		" {\n\"handle\": \"20261125-152251-ab12cd34\", \"command\":\"requeue\"}\n": {Requeue, "20261125-152251-ab12cd34"},
	}
	for body, want := range good {
		if got, err := ParseCommand([]byte(body)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", body, got, err, want)
		}
	}
	for name, body := range map[string]string{
		"nothing":              ``,
		"no object":            `["cancel"]`,
		"null":                 `null`,
		"unfinished":           `{"command":"cancel","handle":"a"`,
		"two objects":          `{"command":"cancel","handle":"a"}{}`,
		"an unknown verb":      `{"command":"restart","handle":"a"}`,
		"a verb in capitals":   `{"command":"CANCEL","handle":"a"}`,
		"a key in capitals":    `{"Command":"cancel","handle":"a"}`,
		"no handle":            `{"command":"cancel"}`,
		"an empty handle":      `{"command":"cancel","handle":""}`,
		"a path for a handle":  `{"command":"cancel","handle":"../spool"}`,
		"a long handle":        `{"command":"cancel","handle":"` + strings.Repeat("a", 65) + `"}`,
		"a number for a text":  `{"command":"cancel","handle":3}`,
		"a list of handles":    `{"command":"cancel","handle":["a"]}`,
		"an unknown key":       `{"command":"cancel","handle":"a","all":"yes"}`,
		"a key twice":          `{"command":"cancel","handle":"a","handle":"b"}`,
		"a key twice, escaped": `{"command":"cancel","handle":"a","h\u0061ndle":"b"}`,
		"too large":            `{"command":"cancel","handle":"a"}` + strings.Repeat(" ", maxCommand),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, err := ParseCommand([]byte(body)); err == nil {
				t.Errorf("it was read as %+v", c)
			}
		})
	}
}

// Whatever is accepted is a command that is written the same again, and means the same to Go's own reader.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		`{"command":"cancel","handle":"20261125-152251-ab12cd34"}`, `{"command":"requeue","handle":"a"}`, `{}`, `[`, `{"a":{}}`,
		`{"command":"cancel","handle":"a","handle":"b"}`, "\xff", `{"command":"cancel","handle":"a"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := ParseCommand(body)
		if err != nil {
			return
		}
		printed, err := c.Body()
		if err != nil {
			t.Fatalf("%q was read as %+v, which is no command: %v", body, c, err)
		}
		again, err := ParseCommand(printed)
		if err != nil || again != c {
			t.Fatalf("%q: %+v, written and read %+v, %v", body, c, again, err)
		}
		var plain Command
		if err := json.Unmarshal(body, &plain); err != nil || plain != c {
			t.Fatalf("%q: %+v, to Go's reader %+v, %v", body, c, plain, err)
		}
	})
}

// A worker obeys what came through the exchange, from somebody whom the broker knows, and nothing else.
func TestNewOrder(t *testing.T) {
	t.Parallel()
	const body = `{"command":"cancel","handle":"20261125-152251-ab12cd34"}`
	for name, test := range map[string]struct {
		delivery    amqp.Delivery
		refused     string
		correlation string
	}{
		"an operator's": {amqp.Delivery{Exchange: ControlExchange, UserId: "op", Body: []byte(body), CorrelationId: "1"}, "", "1"},
		"put into the queue directly": {
			amqp.Delivery{Exchange: "", UserId: "britney", Body: []byte(body), CorrelationId: "1"}, "came through the exchange \"\"", "",
		},
		"from nobody": {amqp.Delivery{Exchange: ControlExchange, Body: []byte(body), CorrelationId: "1"}, "user_id", "1"},
		"no command":  {amqp.Delivery{Exchange: ControlExchange, UserId: "op", Body: []byte("{}"), CorrelationId: "1"}, "keys", "1"},
		"a correlation that is too long": {
			amqp.Delivery{Exchange: ControlExchange, UserId: "op", Body: []byte(body), CorrelationId: strings.Repeat("1", 101)}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrder(test.delivery)
			if (o.Err == nil) != (test.refused == "") || o.Err != nil && !strings.Contains(o.Err.Error(), test.refused) {
				t.Errorf("refused because %v, want %q", o.Err, test.refused)
			}
			if o.correlation != test.correlation || o.Err == nil && (o.By != "op" || o.Verb != Cancel) {
				t.Errorf("order %+v", o)
			}
		})
	}
}

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	want := Answer{Handle: "a", Worker: "lab-1", Known: true, Error: "no"}
	body, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseAnswer(append(body[:len(body)-1], `,"later":1}`...)); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, body := range []string{"", "[]", `{"handle":1}`, `{}` + strings.Repeat(" ", maxAnswer)} {
		if got, err := parseAnswer([]byte(body)); err == nil {
			t.Errorf("%.20q was read as %+v", body, got)
		}
	}
}
