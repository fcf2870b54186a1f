package main

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// fetch reads every result that there is.
func (r *round) fetch(ctx context.Context) ([]check.Stored, error) {
	all, err := r.reader.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the results: %w", err)
	}
	stored := make([]check.Stored, 0, len(all))
	for _, f := range all {
		one := check.Stored{At: f.at, Modified: f.modified, Seen: r.reader.read[f.at]}
		one.Result, one.Err = r.open(ctx, f.at)
		stored = append(stored, one)
	}
	return stored, ctx.Err()
}

// open reads a result.tar and the log beside it to their ends.
func (r *round) open(ctx context.Context, at result.Location) (result.Result, error) {
	body, _, err := r.stack.store.Get(ctx, at.Container, at.Object(result.TarObject))
	if err != nil {
		return result.Result{}, err
	}
	defer func() { _ = body.Close() }()
	read, err := result.ReadTar(body)
	if err != nil {
		return result.Result{}, err
	}
	log, _, err := r.stack.store.Get(ctx, at.Container, at.Object(result.LogObject))
	if err != nil {
		return result.Result{}, fmt.Errorf("its log: %w", err)
	}
	defer func() { _ = log.Close() }()
	unpacked, err := gzip.NewReader(log)
	if err == nil {
		_, err = io.Copy(io.Discard, unpacked)
	}
	if err != nil {
		return result.Result{}, fmt.Errorf("its log: %w", err)
	}
	return read, nil
}

// leases are those that workers should not have left in the store. Their names begin with the hash of queue and body; those of
// other rounds do not matter here. A worker that is killed soon after the acknowledgement of a request leaves a lease, which its
// next start marks as ended and doubtful, and which is removed when it has not been asked for for a while. Those of a worker that
// lost its disk, and with it its name, nobody marks; they are removed in the same way. Others that were ended can be as many as
// workers were.
func (r *round) leases(ctx context.Context) (left []string, err error) {
	ours := map[lease.Identity]check.Request{}
	for _, request := range r.gatekeeper.requests() {
		ours[lease.Identify(request.Queue, request.Body)] = request
	}
	allowed, names := 0, map[string]bool{}
	for _, m := range r.machines {
		allowed += m.begun()
		name, err := m.workerName()
		if err != nil {
			return nil, err
		}
		names[name] = true
	}
	for entry, err := range store.Walk(ctx, r.stack.store, lease.Container, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the leases: %w", err)
		}
		digits, _, _ := strings.Cut(entry.Name, "/")
		id, err := hex.DecodeString(digits)
		if err != nil || len(id) != len(lease.Identity{}) {
			continue
		}
		request, found := ours[lease.Identity(id)]
		if !found {
			continue
		}
		says, err := r.lease(ctx, entry.Name)
		if err != nil {
			return nil, err
		}
		if says.Ended && says.Doubtful || !names[says.Worker] {
			continue
		}
		if over := says.Ended || says.Waiting; over && allowed > 0 {
			allowed--
			continue
		}
		left = append(left, fmt.Sprintf("lease of request %s (%s): %+v", request.Key, entry.Name, says))
	}
	return left, nil
}

func (r *round) lease(ctx context.Context, object string) (says lease.Content, err error) {
	body, _, err := r.stack.store.Get(ctx, lease.Container, object)
	if errors.Is(err, store.ErrNotFound) {
		return says, nil
	}
	if err != nil {
		return says, err
	}
	defer func() { _ = body.Close() }()
	return says, json.NewDecoder(io.LimitReader(body, 1<<16)).Decode(&says)
}

// messages takes all messages out of a queue.
func (r *round) messages(name string) (all []amqp.Delivery, err error) {
	connection, err := amqp.Dial(r.stack.broker.URI().Reveal())
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	for {
		message, more, err := channel.Get(name, true)
		if err != nil {
			return nil, fmt.Errorf("read queue %s: %w", name, err)
		}
		if !more {
			return all, nil
		}
		all = append(all, message)
	}
}

func (r *round) completions() ([]queue.Completion, error) {
	all, err := r.messages(completionQueue)
	if err != nil {
		return nil, err
	}
	var read []queue.Completion
	for _, message := range all {
		completion, err := queue.ParseCompletion(message.Body)
		if err != nil {
			return nil, err
		}
		if completion.Location.Release == r.release {
			read = append(read, completion)
		}
	}
	return read, nil
}

func (r *round) rejected() ([]check.Rejected, error) {
	all, err := r.messages(rejectedQueue)
	if err != nil {
		return nil, err
	}
	var read []check.Rejected
	for _, message := range all {
		reason, _ := message.Headers["x-reason"].(string)
		read = append(read, check.Rejected{Body: message.Body, Reason: reason})
	}
	return read, nil
}

// leftovers are what the workers, all of which have ended, have left on this machine and in the store.
func (r *round) leftovers(ctx context.Context) ([]string, error) {
	var left []string
	for _, m := range r.machines {
		processes, err := processesOf(m)
		if err != nil {
			return nil, err
		}
		device, err := m.disk.device()
		if err != nil {
			return nil, err
		}
		namespaces, err := inNamespaces(device)
		if err != nil {
			return nil, err
		}
		for _, p := range append(processes, namespaces...) {
			left = append(left, m.name+": "+p.String())
		}
		files, err := remains(m.path("state"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			left = append(left, m.name+": state/"+file)
		}
		if files, err = remains(m.folder); err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasPrefix(file, "tmp/") {
				left = append(left, m.name+": "+file)
			}
		}
	}
	leases, err := r.leases(ctx)
	return append(left, leases...), err
}

// state is what the round has left.
func (r *round) state(ctx context.Context) (s check.State, err error) {
	s.Requests = r.gatekeeper.requests()
	for i := range s.Requests {
		s.Requests[i].Killed = r.killed[s.Requests[i].Key]
	}
	if s.Queues, err = r.depths(ctx); err != nil {
		return s, err
	}
	if s.Completions, err = r.completions(); err != nil {
		return s, err
	}
	if s.Rejected, err = r.rejected(); err != nil {
		return s, err
	}
	if s.Leftovers, err = r.leftovers(ctx); err != nil {
		return s, err
	}
	s.Stored, err = r.fetch(ctx)
	return s, err
}

// depths counts the messages of the request queues, those that somebody holds included.
func (r *round) depths(ctx context.Context) (map[string]int, error) {
	all, err := r.stack.management.Queues(ctx)
	if err != nil {
		return nil, err
	}
	depths := map[string]int{}
	for _, q := range r.queues {
		depths[q.Name()] = all[q.Name()].Messages
	}
	return depths, nil
}
