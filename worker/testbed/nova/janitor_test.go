package nova

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestAbandoned walks what may lie in a project.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	unknown := errors.New("the store is away")
	for name, test := range map[string]struct {
		tags []string
		over func([]testbed.Owner) ([]testbed.Owner, error)
		want bool
		err  error
	}{
		"a run of ours":           {tags: tagsOf(testbed.Testbed{Name: "one", Worker: "w", Run: "r"})},
		"a trial of ours":         {tags: tagsOf(testbed.Testbed{Name: "trial", Worker: "w"})},
		"nobody's, of ours":       {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "w", Run: "r"}), want: true},
		"a canary of ours":        {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "w"}), want: true},
		"another's":               {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "v", Run: "r"}), over: func([]testbed.Owner) ([]testbed.Owner, error) { return nil, nil }},
		"another's, who is dead":  {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "v", Run: "r"}), over: func(o []testbed.Owner) ([]testbed.Owner, error) { return o, nil }, want: true},
		"another's, nobody knows": {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "v", Run: "r"}), over: func([]testbed.Owner) ([]testbed.Owner, error) { return nil, unknown }, err: unknown},
		"without anybody to ask":  {tags: tagsOf(testbed.Testbed{Name: "gone", Worker: "v", Run: "r"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := testbed.Tending{Worker: "w", Alive: func() []string { return []string{"one"} }, Log: slog.New(slog.DiscardHandler)}
			if test.over != nil {
				with.Over = func(_ context.Context, owners []testbed.Owner) ([]testbed.Owner, error) { return test.over(owners) }
			}
			w := tender{with: with, trials: map[string]bool{"trial": true}}
			o, ours := ownedBy(test.tags)
			if !ours {
				t.Fatal("not ours")
			}
			left, err := w.abandoned(t.Context(), []owned{o})
			if got := slices.ContainsFunc(left, func(other owned) bool { return other.name == o.name }); got != test.want || !errors.Is(err, test.err) {
				t.Errorf("removed: %v, %v; want %v", got, err, test.want)
			}
		})
	}
}
