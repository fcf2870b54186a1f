// Package testbed runs a package's tests: it builds autopkgtest's command line and runs it in namespaces of its own, with
// a testbed that one of the backends makes.
//
// It knows nothing of queues, results and stores (package run does), and nothing of how an image comes about (package
// image does). A run leaves a folder of autopkgtest's output and nothing else: no process, no mount, no network, no file.
//
// The walls around a run are namespaces (confinement), the filter of its network (filter) and its limits (Limits).
//
// Start reading at Runner for what a run is, at Backend for how a new kind of testbed is added, at Invocation for the
// command line. The files confine*.go, slirp.go and gateway*.go are the outside of the namespaces, ahead.go keeps some ready,
// inside*.go the first process within them: every program that runs tests calls InsideMain first thing in its main.
package testbed
