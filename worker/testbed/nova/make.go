package nova

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// A cloud goes on with what it was asked to make, whatever happens to whoever asked. So the account tells of it before, and whoever
// removes what a testbed was made of waits for what may still come.
const (
	// outcomeLimit is when what was asked for is there, or never will be. The janitor finds what comes later all the same.
	outcomeLimit = time.Minute
	outcomePause = time.Second
)

// make has the cloud make something, unless ctx has ended, and notes what that was.
func (s Setup) make(ctx context.Context, ask func() error, made func(*record)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.note(func(r *record) { r.Asked = time.Now() }); err != nil {
		return err
	}
	err := ask()
	if openstack.Unanswered(err) {
		return err
	}
	return errors.Join(err, s.note(func(r *record) {
		r.Asked = time.Time{}
		if err == nil {
			made(r)
		}
	}))
}

// remove removes all servers of a testbed, those of its account and those with its tags: an answer may have been lost. So it does with
// floating IPs, by their mark; empty for none. It does not wait for the servers' end.
func remove(ctx context.Context, region *openstack.Region, said record, name, mark string) error {
	for {
		strangers, err := removeOnce(ctx, region, said, name, mark)
		if err != nil || strangers > 0 || time.Since(said.Asked).Abs() >= outcomeLimit { // whatever was done to the clock
			return err
		}
		select {
		case <-time.After(outcomePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// removeOnce removes what is there. It counts those of which the account did not know.
func removeOnce(ctx context.Context, region *openstack.Region, said record, name, mark string) (strangers int, failed error) {
	var looking sync.WaitGroup
	var tagged []openstack.Server
	var unlisted error
	looking.Go(func() { tagged, unlisted = region.ServersTagged(ctx, ownTag, kindTag, nameTag(name)) })
	for _, id := range said.Servers {
		failed = errors.Join(failed, region.DeleteServer(ctx, id))
	}
	looking.Wait()
	failed = errors.Join(failed, unlisted)
	for _, server := range tagged {
		if !slices.Contains(said.Servers, server.ID) {
			strangers++
			failed = errors.Join(failed, region.DeleteServer(ctx, server.ID))
		}
	}
	if mark == "" {
		return strangers, failed
	}
	addresses, err := region.FloatingIPsMarked(ctx, mark)
	failed = errors.Join(failed, err)
	for _, address := range addresses {
		strangers++
		failed = errors.Join(failed, region.Release(ctx, address.ID))
	}
	return strangers, failed
}
