package main

// The kinds of testbeds that this program has.
import _ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare"
