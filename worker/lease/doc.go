// Package lease is how workers know of each other's requests when the broker gives one of them to a second worker.
//
// Clients send no message id, so a request is known by its queue and its body, its identity, and two requests may have the
// same. What tells them apart is counted, not named: every request that is not settled has at most one lease, an object
// IDENTITY/NAME in a private container of the store. Leases of one identity are interchangeable, as its messages are.
//
//   - A life that works on a request writes its lease again and again. While it does, nobody else begins the request.
//   - A life that is given a request which somebody had before makes no lease of its own: it takes over one whose life is
//     over, with the names of all lives that had it, or, if there is none at all, claims a new one.
//   - Whoever has the lease answers for the request: he alone publishes, and decides which of several results counts. A life
//     that has lost its lease publishes nothing more, and leaves what it has published to the new holder.
//   - With the message, the lease goes. A lease whose life is over says that a message is still to come. If there is a result
//     of one of its lives, that is the message's; if there is a result but no lease, it belongs to a settled request.
//
// Clocks of two machines are never compared: a reader watches whether a lease changes, and takes the time himself.
//
// Start reading at Registry, the leases of one worker, and Lease, that of one life; Watch is what a life sees of others.
package lease
