package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// Operators command workers through two fanout exchanges, which are deployed with the broker. A command goes to every worker,
// and each answers whether it has the request: nobody needs to know where a request runs, and an operator learns who was
// asked. Only an operator may write to the first exchange and only workers to the second.
//
// The broker's own way for answers, direct reply-to, is not used: it takes the right to write to the default exchange, and
// with that a worker, which runs strangers' programs, could put messages into every queue.
const (
	ControlExchange = "autopkgtest.control"
	AnswersExchange = "autopkgtest.answers"
)

// Verb is what is to be done with a request in work.
type Verb string

// The verbs.
const (
	Cancel  Verb = "cancel"  // end it with a result that says who cancelled it
	Requeue Verb = "requeue" // put it back into its queue, and publish nothing
)

// Command is about a request that some worker has in work.
type Command struct {
	Verb   Verb   `json:"command"`
	Handle string `json:"handle"`
}

// maxCommand bounds a command's message. A real one has 70 bytes.
const maxCommand = 1 << 10

var handleForm = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)

// ValidHandle says whether a text has the form of a handle.
func ValidHandle(text string) bool { return handleForm.MatchString(text) }

// Validate says what is wrong with the command.
func (c Command) Validate() error {
	switch {
	case c.Verb != Cancel && c.Verb != Requeue:
		return fmt.Errorf("unknown command %.40q, want %s or %s", c.Verb, Cancel, Requeue)
	case !ValidHandle(c.Handle):
		return fmt.Errorf("%.80q is not a handle, which looks like 20261125-152251-ab12cd34", c.Handle)
	}
	return nil
}

// Body is the message.
func (c Command) Body() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return encode(c)
}

// ParseCommand reads a command. It is strict: a command that somebody means differently from how we read it kills the wrong
// test. So no key may be unknown, missing, twice there or written otherwise.
func ParseCommand(body []byte) (Command, error) {
	if len(body) > maxCommand {
		return Command{}, fmt.Errorf("%d bytes, at most %d are accepted", len(body), maxCommand)
	}
	values, err := flatObject(body)
	if err != nil {
		return Command{}, err
	}
	c := Command{Verb: Verb(values["command"]), Handle: values["handle"]}
	if len(values) != 2 {
		return Command{}, errors.New(`want the keys "command" and "handle" and no others`)
	}
	return c, c.Validate()
}

// flatObject reads a JSON object of texts in which no key is twice there.
func flatObject(body []byte) (map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	notObject := errors.New("not a JSON object whose values are texts")
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, notObject
	}
	values := map[string]string{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, notObject
		}
		value, err := decoder.Token()
		text, isText := value.(string)
		if err != nil || !isText {
			return nil, notObject
		}
		name, _ := key.(string) // JSON has no other keys
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("the key %.40q is twice there", name)
		}
		values[name] = text
	}
	if end, err := decoder.Token(); err != nil || end != json.Delim('}') {
		return nil, notObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return values, nil
}

// Answer is what a worker says to a command.
type Answer struct {
	Handle string `json:"handle"`
	Worker string `json:"worker"`
	Known  bool   `json:"known"`           // the worker has the request
	OK     bool   `json:"ok"`              // and does what it is told
	Error  string `json:"error,omitempty"` // why not
}

// maxAnswer bounds an answer's message.
const maxAnswer = 16 << 10

// parseAnswer reads an answer. Unlike a command it may hold more: a newer worker knows more to say.
func parseAnswer(body []byte) (Answer, error) {
	if len(body) > maxAnswer {
		return Answer{}, fmt.Errorf("an answer of %d bytes, at most %d are accepted", len(body), maxAnswer)
	}
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Answer{}, fmt.Errorf("an answer: %w", err)
	}
	return a, nil
}
