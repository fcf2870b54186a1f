package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// Ask sends commands to all workers and returns the channel of their answers, in the order in which they come. Each worker
// answers each command, so whoever reads decides when enough is known; the end of the context, or of the session, closes the
// channel. Nobody can say how many workers there are. ErrUnrouted: no worker listens. ErrNoQueue: the exchanges have not been
// deployed. ErrRefused: the user is no operator.
func (s *Session) Ask(ctx context.Context, commands []Command) (<-chan Answer, error) {
	bodies := make([][]byte, len(commands))
	for i, c := range commands {
		var err error
		if bodies[i], err = c.Body(); err != nil {
			return nil, err
		}
	}
	inbox, err := s.openInbox(ctx, AnswersExchange)
	if err != nil {
		return nil, err
	}
	asked := map[string]Command{}
	for i, c := range commands {
		id := strings.ToLower(rand.Text())
		asked[id] = c
		err := s.PublishMessage(ctx, ControlExchange, "", Message{
			Body: bodies[i], Mandatory: true, UserID: s.user, ReplyTo: AnswersExchange, CorrelationID: id,
		})
		if err != nil {
			inbox.close()
			return nil, fmt.Errorf("%s %s: %w", c.Verb, c.Handle, err)
		}
	}
	answers := make(chan Answer)
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		defer close(answers)
		defer inbox.close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.ended:
				return
			case d, open := <-inbox.deliveries:
				if !open {
					return
				}
				c, ours := asked[d.CorrelationId]
				answer, err := parseAnswer(d.Body)
				if !ours || err != nil {
					continue // another operator's, or nothing that could be shown
				}
				answer.Handle = c.Handle
				select {
				case answers <- answer:
				case <-ctx.Done():
					return
				case <-s.ended:
					return
				}
			}
		}
	}()
	return answers, nil
}
