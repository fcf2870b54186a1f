package request

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBody(t *testing.T) {
	t.Parallel()
	r := Request{
		Package: "g++-12", Triggers: []string{"gcc-12/1:12.2~rc1-3+b1", "a/1"}, PPAs: []string{"joe/foo"}, AllProposed: true,
		Env: []string{"A=<b>&c"}, TestName: "smoke", Requester: "joe", ID: "abc",
		Extra: map[string]json.RawMessage{"later": json.RawMessage(`{"x": 1}`)},
	}
	const want = "g++-12\n" + `{"all-proposed":"1","env":["A=<b>&c"],"later":{"x":1},"ppas":["joe/foo"],` +
		`"request-id":"abc","requester":"joe","testname":"smoke","triggers":["gcc-12/1:12.2~rc1-3+b1","a/1"]}`
	for range 20 { // the order of maps must not show
		body, err := r.Body()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(body)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestBodyRefuses(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Request{
		"no package":        {},
		"bad package":       {Package: "a b"},
		"not UTF-8":         {Package: "green", Requester: "\xff"},
		"two words":         {Package: "green", Triggers: []string{"a/1 b/2"}},
		"private in public": {Package: "green", PPAs: []string{"a:b@c/d"}},
		"too large":         {Package: "green", Extra: map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("x", MaxBody) + `"`)}},
	} {
		if _, err := r.Body(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
	for name, extra := range map[string]json.RawMessage{"triggers": json.RawMessage("[]"), "broken": json.RawMessage("{")} {
		r := Request{Package: "green", Extra: map[string]json.RawMessage{name: extra}}
		if _, err := r.Body(); err == nil {
			t.Errorf("extra parameter %s: no error", name)
		}
	}
}

// TestRoundTrip: whatever is printed is parsed back, for requests made up at random.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		want := randomRequest(random)
		body, err := want.Body()
		if err != nil {
			t.Fatalf("seed %d: %+v: %v", seed, want, err)
		}
		got, err := Parse(body)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: %s (-want +got):\n%s", seed, body, diff)
		}
	}
}

func randomRequest(random *rand.Rand) Request {
	text := func(alphabet string, least int) string {
		runes := []rune(alphabet)
		var b strings.Builder
		for range least + random.IntN(12) {
			b.WriteRune(runes[random.IntN(len(runes))])
		}
		return b.String()
	}
	maybe := func(entry func() string) string {
		if random.IntN(2) == 0 {
			return ""
		}
		return entry()
	}
	list := func(entry func() string) []string {
		var entries []string
		for range random.IntN(4) {
			entries = append(entries, entry())
		}
		return entries
	}
	const letters = "abcdefgXYZ0123456789"
	name := func() string { return text(letters, 1) + text(letters+"+.-", 0) }
	anything := func() string { return text(letters+" äöü🦎<>&\"'\\/{}[]:,%\u2028", 1) }
	r := Request{
		Package:     name(),
		Triggers:    list(func() string { return name() + "/" + text(letters+".+:~-", 1) }),
		PPAs:        list(func() string { return name() + "/" + name() }),
		AllProposed: random.IntN(2) == 0,
		Env:         list(func() string { return text("ABC_", 1) + "=" + anything() + "\n\t" }),
		TestName:    maybe(anything),
		TestGit:     maybe(func() string { return "https://" + name() + "/" + name() }),
		BuildGit:    maybe(func() string { return "git://" + name() + "#" + name() }),
		SwiftUser:   maybe(name),
		ReadableBy:  list(anything),
		Requester:   maybe(anything),
		SubmitTime:  maybe(anything),
		ID:          maybe(anything),
	}
	if random.IntN(2) == 0 {
		r.Extra = map[string]json.RawMessage{"x-" + name(): json.RawMessage(`{"a":[1,2.50,null,"<"]}`)}
	}
	return r
}
