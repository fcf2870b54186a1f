package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// answerLimit is how long a call that was cancelled may take to say what became of it: at the other end what was begun is undone
// or written down.
const answerLimit = 2 * time.Minute

// session is the conversation of two ends, in which both may call the other. A call has a stream of its own:
//
//	caller   {"Method": ..., "Body": ...}      and perhaps later {"Method": "cancel"}
//	other    {"Body": ...} or {"Failure": ...}
//
// A call that is cancelled still has its answer: an interrupted apply leaves something that the state must have.
type session struct{ mux *yamux.Session }

type message struct {
	Method  string          `json:",omitempty"`
	Body    json.RawMessage `json:",omitempty"`
	Failure *failure        `json:",omitempty"`
}

const cancelMethod = "cancel"

// errEnded: the other end is not there any more.
var errEnded = errors.New("the provider at the other end has ended")

func muxConfig(log io.Writer) *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = log
	config.EnableKeepAlive = false // the connection below has its own
	config.StreamOpenTimeout, config.StreamCloseTimeout = 0, 0
	return config
}

// call has the other end do something and waits for its answer.
func (s *session) call(ctx context.Context, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode a call: %w", err)
	}
	stream, err := s.mux.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	defer stream.Close()
	encoder := json.NewEncoder(stream)
	if err := encoder.Encode(message{Method: method, Body: body}); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = encoder.Encode(message{Method: cancelMethod}) // the end of the stream says the same
		_ = stream.SetReadDeadline(time.Now().Add(answerLimit))
	})
	defer stop()
	var said message
	if err := json.NewDecoder(stream).Decode(&said); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	if said.Failure != nil {
		return said.Failure
	}
	return json.Unmarshal(said.Body, answer)
}

// handler does what the other end asks for.
type handler func(ctx context.Context, method string, body json.RawMessage) (answer any, err error)

// serve answers calls until the session or ctx ends. Then all that is still in work is cancelled and waited for.
func (s *session) serve(ctx context.Context, handle handler) {
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.mux.Close() })
	defer stop()
	for {
		stream, err := s.mux.Accept()
		if err != nil {
			return
		}
		calls.Go(func() {
			defer stream.Close()
			answer(ctx, stream, handle)
		})
	}
}

func answer(ctx context.Context, stream io.ReadWriter, handle handler) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	decoder := json.NewDecoder(stream)
	var asked message
	if decoder.Decode(&asked) != nil {
		return
	}
	go func() {
		var more message
		_ = decoder.Decode(&more) // whatever comes now, a word or the end of the stream, the caller has no use for it any more
		cancel()
	}()
	var said message
	result, err := handle(ctx, asked.Method, asked.Body)
	if err == nil {
		said.Body, err = json.Marshal(result)
	}
	if err != nil {
		said = message{Failure: failureOf(err)}
	}
	_ = json.NewEncoder(stream).Encode(said) // nobody is left to tell
}
