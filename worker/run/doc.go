// Package run is the life of a request in a worker: from the broker's delivery to the acknowledgement that comes last.
//
// It decides what happens in which order and what is done when something fails; how tests are run (package testbed), how
// a broker is spoken with (package queue) and where results are kept (package store) is not known here. Its promise: a
// request is acknowledged only when its result and its completion message are safe, so whatever dies, the broker still
// has the request.
//
// The states of one life, each a function:
//
//	        delivery
//	           │
//	        accept ─── malformed ────────────────────────────────► reject ──┐
//	           │ │                                                          │
//	           │ └─ given to somebody before ─► wait ── its result is       │
//	           │                                 │      stored ──────┐      │
//	not to be  │◄── nobody has it in work ───────┘                   │      │
//	run ┌──────┤                                                     │      │
//	    │      ▼                                                     │      │
//	    │   prepare   folder, testbeds                               │      │
//	 decline   │                                                     │      │
//	    │     run ◄─┐ the testbed failed: again, up to 3 times       │      │
//	    │      │ └──┘     · · · cancelled ─► abort                   │      │
//	    └────► ▼ ◄──────────────────────────────┘                    │      │
//	        collect   exit code, version, log, archives              │      │
//	           │                                                     │      │
//	         spool    on our disk; the slot is free                  │      │
//	           │                                                     │      │
//	         store    run id; log, artifacts, result.tar last;       │      │
//	           │      moved above what was visible before            │      │
//	       announce ◄────────────────────────────────────────────────┘      │
//	           │      completion message, confirmed; the spool lets go      │
//	          ack ─── the session is gone: the message will come again,     │
//	           │      and the result is found by its lease                  │
//	          end ◄─────────────────────────────────────────────────────────┘
//
// prepare, collect, spool, store and announce try again for as long as it takes. A worker that must stop now goes from every
// state before the result lies in the spool to handback: the test is killed, nothing is published, the request goes back into
// its queue. After that it goes to shelve: the request goes back, too, and the result waits for the next start. An operator's
// commands are obeyed in accept, wait, prepare and run: cancel leads to abort, requeue to handback.
//
// A life that finds in store that another one has its lease publishes nothing, and goes to handback.
//
// What a crash leaves at each state is said there. In short: before the spool the request alone, which the broker gives to
// somebody else; from there on the result, which the next start of the worker takes up at store. In the store lies the life's
// lease, which looks dead after a minute.
//
// Start reading at Worker for what runs when, at life for the states, at ledger for what happens when a session is lost, at
// lookup, and package lease, for how workers know of each other.
package run
