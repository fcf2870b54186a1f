package nova

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Open boots a server, waits until one can log in and cloud-init has ended, and says how to reach it. When it fails, what was made is
// left for DebugFailure and Cleanup.
func (s Setup) Open(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, errors.New("not done within "+openLimit.String()))
	defer cancel()
	begun := record{Source: s.Plan.Source}
	if s.Plan.Floating {
		begun.Mark = mark(s.Plan.Tags)
	}
	if err := s.account().write(begun); err != nil { // before anything is made
		return err
	}
	if err := s.open(ctx); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s Setup) open(ctx context.Context) error {
	begin := time.Now()
	id, err := s.boot(ctx)
	if err != nil {
		return err
	}
	asked := time.Now()
	s.say("server %s (%s) was asked for in region %s", s.Plan.Server, id, s.Region.Name())
	server, err := s.active(ctx, id)
	if err != nil {
		return err
	}
	booted := time.Now()
	if err := s.handOver(ctx, server); err != nil {
		return err
	}
	s.say("asking took %s, nova %s, the server's own boot %s",
		round(asked.Sub(begin)), round(booted.Sub(asked)), round(time.Since(booted)))
	return nil
}

// boot asks for the server, of what the worker has chosen, or if that is gone, of what is there now.
func (s Setup) boot(ctx context.Context) (id string, err error) {
	if s.Plan.Chosen.complete() {
		id, err = s.bootOf(ctx, s.Plan.Chosen)
		if !errors.Is(err, openstack.ErrInvalid) && !errors.Is(err, openstack.ErrNotFound) {
			return id, err
		}
	}
	chosen, err := s.choose(ctx)
	if err != nil {
		return "", err
	}
	return s.bootOf(ctx, chosen)
}

func (s Setup) bootOf(ctx context.Context, of Choice) (id string, err error) {
	ask := func() error { id, err = s.Region.Boot(ctx, s.server(of)); return err }
	err = s.make(ctx, ask, func(r *record) { r.Servers = []string{id} })
	return id, err
}

func (s Setup) server(of Choice) openstack.Boot {
	return openstack.Boot{
		Name: s.Plan.Server, Image: of.Image, Flavor: of.Flavor, Network: of.Network, Key: s.Plan.KeyName, Groups: s.Plan.Groups,
		UserData: []byte(s.Plan.UserData), Tags: s.Plan.Tags,
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// choose finds what the plan names, all at once.
func (s Setup) choose(ctx context.Context) (chosen Choice, err error) {
	var looking sync.WaitGroup
	var failed [3]error
	looking.Go(func() {
		image, err := s.Region.NewestImage(ctx, s.Plan.Image)
		chosen.Image, failed[0] = image.ID, err
	})
	looking.Go(func() {
		flavor, err := s.Region.Flavor(ctx, s.Plan.Flavor)
		chosen.Flavor, failed[1] = flavor.ID, err
	})
	looking.Go(func() {
		network, err := s.Region.InternalNetwork(ctx, s.Plan.Network)
		chosen.Network, failed[2] = network.ID, err
	})
	looking.Wait()
	return chosen, errors.Join(failed[:]...)
}

func (s Setup) active(ctx context.Context, id string) (*openstack.Server, error) {
	limited, cancel := context.WithTimeout(ctx, activeLimit)
	defer cancel()
	return s.Region.AwaitActive(limited, id)
}

// Revert has the server made anew where it is, from the newest image.
func (s Setup) Revert(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, errors.New("not done within "+openLimit.String()))
	defer cancel()
	if err := s.revert(ctx); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s Setup) revert(ctx context.Context) error {
	id, err := s.made()
	if err != nil {
		return err
	}
	image, err := s.Region.NewestImage(ctx, s.Plan.Image)
	if err != nil {
		return err
	}
	if err := s.Region.Rebuild(ctx, id, image.ID); err != nil {
		return err
	}
	server, err := s.active(ctx, id)
	if err != nil {
		return err
	}
	return s.handOver(ctx, server)
}
