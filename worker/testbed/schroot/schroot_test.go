package schroot

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	b, err := testbed.Lookup(Name)
	if err != nil {
		t.Fatal(err)
	}
	noble := testbed.Testbed{Release: "noble", Architecture: "arm64"}
	if got := b.Arguments(noble); !slices.Equal(got, []string{"schroot", "noble-arm64"}) {
		t.Errorf("arguments %q", got)
	}
	noble.Given = []string{"-d", "noble-arm64"}
	if got := b.Arguments(noble); !slices.Equal(got, []string{"schroot", "-d", "noble-arm64"}) {
		t.Errorf("the operator's: %q", got)
	}
}

// TestProfile keeps this machine's homes and temporary files out of testbeds, and our scripts free of slips.
func TestProfile(t *testing.T) {
	t.Parallel()
	f, err := (backend{}).Furnish(testbed.Testbed{Release: "noble", Architecture: "arm64", Image: "/images/noble-arm64.tar.zst"})
	if err != nil {
		t.Fatal(err)
	}
	if conf := f.Files["/etc/schroot/chroot.d/noble-arm64"]; !strings.Contains(conf, "profile=testbed\n") || !strings.Contains(conf, "union-type=overlay\n") {
		t.Errorf("configuration:\n%s", conf)
	}
	for name, content := range f.Files {
		if strings.HasPrefix(name, "/etc/schroot/testbed/") && content != "" {
			t.Errorf("%s has %q", name, content)
		}
	}
	for _, script := range []string{setup, f.Script} {
		check := exec.Command("sh", "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
}
