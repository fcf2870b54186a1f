package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  [][]string
	}{
		{nil, nil},
		{[]string{"a"}, [][]string{{"a"}}},
		{[]string{"a", "b", plus, "c"}, [][]string{{"a", "b"}, {"c"}}},
		{[]string{plus, "a", plus, plus, "b", plus}, [][]string{{"a"}, {"b"}}},
	} {
		if diff := cmp.Diff(c.want, split(c.words)); diff != "" {
			t.Errorf("split(%q) (-want +got):\n%s", c.words, diff)
		}
	}
}
