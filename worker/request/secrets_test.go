package request

import "testing"

func TestHideSecrets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`green`:                                  `green`,
		`{"ppas": ["joe:s3cret@team/ppa:ABCD"]}`: `{"ppas": ["***@team/ppa:ABCD"]}`,
		`{"test-git": "https://joe:s3cret@host/x.git"}`:  `{"test-git": "https://***@host/x.git"}`,
		`{"triggers": ["green/1:2-3"], "requester":"x"}`: `{"triggers": ["green/1:2-3"], "requester":"x"}`,
		`["u:p@a/b","v:q@c/d"]`:                          `["***@a/b","***@c/d"]`,
	} {
		if got := HideSecrets(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
