package main

// The kinds of testbeds that this program has.
import (
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/lxc"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/lxd"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/null"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/qemu"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/schroot"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/ssh"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare"
)
