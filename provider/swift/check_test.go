package swift

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

func TestEnoughRoom(t *testing.T) {
	t.Parallel()
	err := enoughRoom("/srv/stack", 300<<20, 256<<20)
	if !errors.Is(err, host.ErrNoSpace) {
		t.Fatalf("error = %v, want ErrNoSpace", err)
	}
	for _, part := range []string{"/srv/stack", "300 MiB", "256 MiB", "512 MiB"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := enoughRoom("/srv/stack", 512<<20, 256<<20); err != nil {
		t.Error(err)
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		says error // what the system says
		want error
	}{
		"there":                   {nil, nil},
		"not on this file system": {unix.ENOTSUP, host.ErrInvalid},
		"something else":          {unix.ENOSPC, unix.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			root, err := os.OpenRoot(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			err = attributes(root, ".", func(int, string, []byte, int) error { return test.says })
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), folder) {
				t.Errorf("error = %v, want %v with the folder's name", err, test.want)
			}
			left, err := os.ReadDir(folder)
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
