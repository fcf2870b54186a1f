// Package result is the outcome of one run as it lies in a result store: where it lies (containers, prefixes, run ids),
// what result.tar holds, and what autopkgtest's exit codes mean.
//
// It neither stores nor fetches anything (package store does) and it imports nothing else of this project.
// Start reading at Result and Location.
package result
