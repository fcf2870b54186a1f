// Package metrics is what a worker counts, in the form that Prometheus collects. docs/metrics.md tells what each metric
// means and what to do about it.
//
// It counts in three ways: as an Observer of the worker's requests, as decorators of what the worker works with (its store,
// its testbeds, its dialling), and by looking at what the worker has in hand when somebody asks. Nothing here changes what
// a worker does.
//
// The series that there can be are bounded by the configuration: labels are releases, architectures and contexts that this
// worker serves, and words of ours. Never a package, a run id, a requester or an error's text: a distribution has tens of
// thousands of packages, each would be a series for ever, and single runs are found on the website and in the log. Nothing
// that a request or a test says gets into a metric.
//
// Start reading at Worker.
package metrics
