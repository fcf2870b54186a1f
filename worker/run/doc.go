// Package run is the life of a request in a worker: from the broker's delivery to the acknowledgement that comes last.
//
// It decides what happens in which order and what is done when something fails; how tests are run (package testbed), how
// a broker is spoken with (package queue) and where results are kept (package store) is not known here. Its promise: a
// request is acknowledged only when its result and its completion message are safe, so whatever dies, the broker still
// has the request.
//
// The states of one life, each a function in the file of its name:
//
//	          delivery
//	             │
//	          accept ────── malformed ─────────────────────► reject ──┐
//	             │ └─ redelivered, and its result is stored ─┐        │
//	 prepare ◄───┘ folder, image                             │        │
//	    │                                                    │        │
//	   run ◄─┐ the testbed failed: again, up to 3 times      │        │
//	    │ └──┘                                               │        │
//	 collect   exit code, version, log, archives             │        │
//	    │                                                    │        │
//	  store    run id; log.gz, artifacts.tar.gz, result.tar last      │
//	    │                                                    │        │
//	announce ◄───────────────────────────────────────────────┘        │
//	    │      completion message, confirmed                          │
//	   ack ─── the session is gone: the ledger remembers that the     │
//	    │      result is there, the message will come again           │
//	   end ◄──────────────────────────────────────────────────────────┘
//
// prepare, collect, store and announce try again for as long as it takes. Out of every state, a worker that must stop now
// goes to handback: the test is killed, nothing more is published, the request goes back into its queue.
//
// Start reading at Worker for what runs when, at life for the states, at ledger for what happens when a session is lost.
package run
