package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// ppa is the archive of the requests of that context. Their results have a container of their own.
const ppa = "chaos/ppa"

// message is a planned request as it is published, with what is to become of it.
func message(p plan.Request, release string, now time.Time) (q request.Queue, wanted check.Request, err error) {
	q = request.Queue{Context: request.Context(p.Context), Release: release, Architecture: p.Architecture}
	wanted = check.Request{Key: p.Key, Queue: q.Name(), Codes: p.Outcome.Kind.Codes(), Malformed: p.Malformed != ""}
	if wanted.Malformed {
		wanted.Body = malformed(p)
		return q, wanted, nil
	}
	r := request.Request{
		Package: p.Package, Triggers: []string{check.Trigger(p.Key)}, Requester: "chaos",
		Env: []string{
			"CHAOS=" + string(p.Outcome.Kind) + "," + strconv.FormatInt(p.Outcome.Took.Milliseconds(), 10) + "," +
				strconv.Itoa(p.Outcome.Size),
			"CHAOS_PACKAGE=" + p.Package,
		},
		SubmitTime: now.UTC().Format("2006-01-02 15:04:05.000000+0000"),
	}
	switch q.Context {
	case request.PPA:
		r.PPAs = []string{ppa}
	case request.Upstream:
		r.TestGit = "https://git.example.com/" + p.Package
	}
	wanted.Place = result.Location{
		Container: result.Container(release, r.PPAs, false), Release: release, Architecture: p.Architecture, Package: p.Package,
	}
	wanted.Body, err = r.Body()
	return q, wanted, err
}

// malformed is a body that nobody can run; the key makes it one of a kind.
func malformed(p plan.Request) []byte {
	switch p.Malformed {
	case "json":
		return []byte(p.Package + "\n{\"triggers\": [\"" + p.Key + "\"")
	case "utf8":
		return []byte(p.Package + "\n{\"triggers\": [\"" + p.Key + "/1\"], \"requester\": \"\xff\xfe\"}")
	case "package":
		return []byte("../" + p.Key + "\n{}")
	case "ppa":
		return []byte(p.Package + "\n{\"ppas\": [\"" + p.Key + "\"]}")
	}
	return []byte(p.Package + "\n{\"triggers\": {\"" + p.Key + "\": 1}}")
}

// gatekeeper publishes requests as britney does, but with confirms: what is confirmed is accepted.
type gatekeeper struct {
	stack   *stack
	release string

	mu        sync.Mutex
	published []check.Request
	again     int // requests that took more than one try
}

// publish makes the requests of a plan at their times, and tries again for as long as the broker is away.
func (g *gatekeeper) publish(ctx context.Context, began time.Time, requests []plan.Request) error {
	var session *queue.Session
	defer func() {
		if session != nil {
			_ = session.Close()
		}
	}()
	for _, p := range requests {
		if !sleep(ctx, time.Until(began.Add(p.At))) {
			return context.Cause(ctx)
		}
		q, wanted, err := message(p, g.release, time.Now())
		if err != nil {
			return fmt.Errorf("request %s: %w", p.Key, err)
		}
		for range p.Copies {
			confirmed, tries, err := g.send(ctx, &session, q, wanted.Body)
			if err != nil {
				return err
			}
			if wanted.Most++; confirmed {
				wanted.Least++
			}
			g.add(wanted, tries > 1)
		}
	}
	return nil
}

// send publishes a message, and tries again for as long as it is sure that the broker does not have it.
func (g *gatekeeper) send(ctx context.Context, session **queue.Session, q request.Queue, body []byte,
) (confirmed bool, tries int, err error) {
	for tries = 1; ; tries++ {
		if *session == nil {
			*session, err = queue.Dial(ctx, g.stack.broker, queue.WithLimit(10*time.Second), queue.WithName("chaos: gatekeeper"))
		}
		if err == nil {
			err = (*session).Publish(ctx, "", q.Name(), body, true)
		}
		if err == nil || errors.Is(err, queue.ErrUnconfirmed) {
			return err == nil, tries, nil
		}
		if *session != nil {
			_ = (*session).Close()
			*session = nil
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return false, tries, context.Cause(ctx)
		}
	}
}

// add notes a request down as it is now: one that was sent before takes its place.
func (g *gatekeeper) add(r check.Request, again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last := len(g.published) - 1; last >= 0 && g.published[last].Key == r.Key {
		g.published[last] = r
	} else {
		g.published = append(g.published, r)
	}
	if again {
		g.again++
	}
}

func (g *gatekeeper) requests() []check.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.published)
}
