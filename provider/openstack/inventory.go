package openstack

import (
	"context"
	"sync"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Inventories keep what is in each region, as one process of the provider has listed it: a look at a hundred things of one kind is one
// request. The zero value is ready, and safe for concurrent use.
type Inventories struct {
	mu   sync.Mutex
	kept map[*cloud.Region]*Inventory
}

// Of is the inventory of a region.
func (i *Inventories) Of(region *cloud.Region) *Inventory {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.kept[region] == nil {
		if i.kept == nil {
			i.kept = map[*cloud.Region]*Inventory{}
		}
		i.kept[region] = &Inventory{Region: region}
	}
	return i.kept[region]
}

// Inventory is what is in a region.
type Inventory struct {
	*cloud.Region
	groups  listing[Group]
	ensured known // ids of groups; see RemoveGroup

	servers listing[cloud.Server]
	claims  sync.Mutex
	claimed map[string]bool // names of instances; see claim

	floatingIPs listing[cloud.FloatingIP]
	inUse       known // ids of floating IPs; see RemoveFloatingIP
	keyPairs    listing[cloud.KeyPair]
	busy        Turns
}

// listing is all things of one kind. They are listed by the first who asks while the others wait, and again after a drop.
type listing[T any] struct {
	mu     sync.Mutex
	listed bool
	things []T
}

// all are the things; list is called unless they are known. A failure is not kept. The slice is not to be changed.
func (l *listing[T]) all(ctx context.Context, list func(context.Context) ([]T, error)) ([]T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listed {
		return l.things, nil
	}
	things, err := list(ctx)
	if err != nil {
		return nil, err
	}
	l.things, l.listed = things, true
	return things, nil
}

// drop has the next who asks list anew. Whoever changes a thing calls it, also after a failure.
func (l *listing[T]) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed, l.things = false, nil
}

// known is a set of what this process has done. The zero value is empty.
type known struct{ things sync.Map }

func (k *known) add(thing string) { k.things.Store(thing, true) }

func (k *known) has(thing string) bool {
	_, has := k.things.Load(thing)
	return has
}
