package lxc

import (
	"slices"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	b, err := testbed.Lookup(Name)
	if err != nil {
		t.Fatal(err)
	}
	noble := testbed.Testbed{Release: "noble", Architecture: "arm64", Name: "autopkgtest-x"}
	if got := b.Arguments(noble); !slices.Equal(got, []string{"lxc", "--name", "autopkgtest-x", "--ephemeral", template}) {
		t.Errorf("arguments %q", got)
	}
	noble.Given = []string{"adt-noble"}
	if got := b.Arguments(noble); !slices.Equal(got, []string{"lxc", "--name", "autopkgtest-x", "adt-noble"}) {
		t.Errorf("the operator's: %q", got)
	}
	if !b.Properties().Privileged {
		t.Error("lxc's tools are root")
	}
}
