package nova

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Cleanup removes the testbed. It may be called when there is none, and again.
func (s Setup) Cleanup(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cleanupLimit, errors.New("not done within "+cleanupLimit.String()))
	defer cancel()
	said, err := s.account().read()
	if errors.Is(err, os.ErrNotExist) || said.Closed {
		return nil
	}
	if err != nil {
		return err
	}
	if err := remove(ctx, s.Region, said, s.Plan.Testbed, said.Mark); err != nil {
		return err
	}
	for _, id := range said.Servers {
		limited, cancel := context.WithTimeout(ctx, goneLimit)
		err := s.Region.AwaitGone(limited, id)
		cancel()
		if err != nil {
			s.say("server %s was deleted and is still there; it will be looked for again", id)
			return nil // not Closed: the worker has it deleted again
		}
	}
	return s.note(func(r *record) { r.Closed = true })
}

// DebugFailure says what is known of a server that does not do what it should.
func (s Setup) DebugFailure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := s.made()
	if err != nil {
		s.say("there is no server yet")
		return nil
	}
	server, err := s.Region.Server(ctx, id)
	if err != nil {
		return err
	}
	fixed, floating := openstack.Addresses(server)
	s.say("server %s (%s) in region %s is %s since %s; addresses %v %v; tags %v", server.Name, id, s.Region.Name(), server.Status,
		server.Updated.UTC().Format(time.RFC3339), fixed, floating, s.Plan.Tags)
	if server.Fault.Message != "" {
		s.say("its fault: %s", server.Fault.Message)
	}
	s.say("the end of its console:\n%s", s.Region.Console(ctx, id))
	return nil
}
