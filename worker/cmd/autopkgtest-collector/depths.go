package main

import (
	"context"
	"errors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/site"
)

type requestQueue struct {
	request.Queue
	name string
}

// requestQueues are all queues that there may be for a configuration.
func requestQueues(conf config.Collector) ([]requestQueue, error) {
	var all []requestQueue
	for _, release := range conf.Releases {
		for _, arch := range conf.Architectures {
			for _, context := range request.Contexts {
				q := request.Queue{Context: context, Release: release, Architecture: arch}
				if err := q.Validate(); err != nil {
					return nil, err
				}
				all = append(all, requestQueue{q, q.Name()})
			}
		}
	}
	return all, nil
}

// depthsOf asks for the length of each queue, without touching a message. Those that do not exist are left out.
func depthsOf(queues []requestQueue, from *subscription) func(context.Context) ([]site.Depth, error) {
	return func(ctx context.Context) ([]site.Depth, error) {
		session, err := from.current()
		if err != nil {
			return nil, err
		}
		var depths []site.Depth
		for _, q := range queues {
			ready, consumers, err := session.Depth(ctx, q.name)
			switch {
			case errors.Is(err, queue.ErrNoQueue):
				continue
			case errors.Is(err, queue.ErrUnreachable):
				return nil, errors.Join(site.ErrNoBroker, err)
			case err != nil:
				return nil, err
			}
			depths = append(depths, site.Depth{Queue: q.Queue, Ready: ready, Consumers: consumers})
		}
		return depths, nil
	}
}
