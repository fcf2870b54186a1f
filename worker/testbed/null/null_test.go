package null

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestRefused is the point of this backend: nobody gets it by accident.
func TestRefused(t *testing.T) {
	t.Parallel()
	_, err := testbed.NewRunner(t.Context(), Name, slog.New(slog.DiscardHandler))
	if !errors.Is(err, testbed.ErrExposed) {
		t.Errorf("error = %v", err)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	b, err := testbed.Lookup(Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Arguments(testbed.Testbed{Release: "noble"}); !slices.Equal(got, []string{"null"}) {
		t.Errorf("arguments %q", got)
	}
	if b.Properties().Can(testbed.Revert) {
		t.Error("nothing is reverted on this machine")
	}
}
