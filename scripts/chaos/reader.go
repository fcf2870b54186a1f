package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// reader reads results as the gatekeeper does: of each package it remembers the greatest run id that it has read, and only
// ever asks for greater ones.
type reader struct {
	stack    *stack
	release  string
	greatest map[string]result.RunID // container and package → the greatest id that was read
	read     map[result.Location]bool
}

func newReader(s *stack, release string) *reader {
	return &reader{stack: s, release: release, greatest: map[string]result.RunID{}, read: map[result.Location]bool{}}
}

// readInterval is short beside the gatekeeper's minutes: the oftener one looks, the more one can miss.
const readInterval = 500 * time.Millisecond

// follow looks again and again until the context ends.
func (r *reader) follow(ctx context.Context) {
	for sleep(ctx, readInterval) {
		_, _ = r.look(ctx) // a store that is away is read later
	}
}

// found is a result.tar in a listing.
type found struct {
	at       result.Location
	modified time.Time
}

// look lists everything once, reads what is new, and returns all that there is.
func (r *reader) look(ctx context.Context) ([]found, error) {
	containers, err := r.containers(ctx)
	if err != nil {
		return nil, err
	}
	var all []found
	for _, container := range containers {
		for entry, err := range store.Walk(ctx, r.stack.store, container, r.release+"/", "", "") {
			if err != nil {
				return nil, err
			}
			folder, isTar := strings.CutSuffix(entry.Name, "/"+result.TarObject)
			if !isTar {
				continue
			}
			at, err := result.ParseDir(folder)
			if err != nil {
				return nil, err
			}
			at.Container = container
			all = append(all, found{at, entry.Modified})
		}
	}
	r.note(all)
	return all, nil
}

// note remembers what the gatekeeper would have read. Listings are in order, so a lower one comes before a greater one.
func (r *reader) note(all []found) {
	for _, f := range all {
		pkg := f.at
		pkg.RunID = ""
		name := pkg.Container + "/" + pkg.Dir()
		if f.at.RunID > r.greatest[name] {
			r.greatest[name] = f.at.RunID
			r.read[f.at] = true
		}
	}
}

// containers are those of the release, its archives' ones included.
func (r *reader) containers(ctx context.Context) ([]string, error) {
	names, err := r.stack.store.Containers(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	var ours []string
	for _, name := range names {
		if name == result.Container(r.release, nil, false) || name == result.Container(r.release, []string{ppa}, false) {
			ours = append(ours, name)
		}
	}
	return ours, err
}
