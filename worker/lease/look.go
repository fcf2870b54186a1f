package lease

import "time"

// Look is how a lease looks to other workers, for those who count.
type Look int

// The looks of a lease.
const (
	Alive Look = iota // written in time, or yet to be written: nobody misses it
	Late              // not written for so long that others take it for dead
	Gone              // somebody has taken it over, or has settled the request
)

// Look tells how the lease looks, as far as this process knows. It asks nobody.
func (k *Lease) Look() Look {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.lost:
		return Gone
	case !k.last.IsZero() && time.Since(k.last) >= Lifetime:
		return Late
	}
	return Alive
}
