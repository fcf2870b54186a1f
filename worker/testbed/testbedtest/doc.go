// Package testbedtest is the suite that every backend of package testbed passes, with the real autopkgtest and testbeds as
// a worker makes them.
//
// A backend's test calls Main from its TestMain and Run from a test, with a Subject that says where its testbeds come from.
// What the suite expects follows from what the backend declares: a test that needs what testbeds do not have is skipped,
// one that needs what they have is run. Start reading at Run.
package testbedtest
