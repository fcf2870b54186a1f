package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestExpected(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*testing.T, *bench)
		want   int
	}{
		"in service": {func(*testing.T, *bench) {}, 3},
		"no testbeds": {func(t *testing.T, b *bench) {
			if err := os.Remove(testbed.ImagePath(b.testbeds.images, b.Queues()[0])); err != nil {
				t.Fatal(err)
			}
		}, 0},
		"draining": {func(_ *testing.T, b *bench) { b.Drain() }, 0},
		"other settings": {func(t *testing.T, b *bench) {
			if err := b.Reconfigure(b.Queues(), 8); err != nil {
				t.Fatal(err)
			}
		}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, passes, func(s *Settings) { s.Slots = 3 })
			test.change(t, b)
			if got := b.Expected(); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

// The janitor ends what runs below the folder of runs.
func TestAheadMark(t *testing.T) {
	t.Parallel()
	b := newBench(t, passes)
	if got := filepath.Dir(AheadMark(b.settings.StateDirectory)); got != b.state.runs {
		t.Errorf("the mark lies in %s, the janitor looks below %s", got, b.state.runs)
	}
}
