package management

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestGenerationIsItsNameAndTags(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		g    Generation
		user string
		tags []string
	}{
		"never rotated":   {Generation{User: "britney"}, "britney", nil},
		"first rotation":  {Generation{User: "britney", Rotation: "2026-11"}, "britney-2026-11", []string{"generation-of-britney"}},
		"once more":       {Generation{User: "britney", Rotation: "2026-11", Serial: 2}, "britney-2026-11~2", []string{"generation-of-britney"}},
		"without a word":  {Generation{User: "britney", Serial: 1}, "britney~1", []string{"generation-of-britney"}},
		"name with dash":  {Generation{User: "web-2", Rotation: "x.y_z"}, "web-2-x.y_z", []string{"generation-of-web-2"}},
		"old, first":      {Generation{User: "britney", Ends: noon}, "britney", []string{"expires-2026-11-25T12:00:00Z"}},
		"old, while used": {Generation{User: "w", Serial: 1, Ends: noon, Idle: 90 * time.Minute}, "w~1", []string{"generation-of-w", "expires-2026-11-25T12:00:00Z", "idle-1h30m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.g.Name() != tc.user {
				t.Errorf("is called %s, want %s", tc.g.Name(), tc.user)
			}
			if diff := cmp.Diff(tc.tags, tc.g.Tags()); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			read, ours := GenerationOf(User{Name: tc.user, Tags: append([]string{ourTag, "monitoring"}, tc.tags...)})
			if diff := cmp.Diff(tc.g, read); !ours || diff != "" {
				t.Errorf("ours: %t; read back (-want +got):\n%s", ours, diff)
			}
			if rest := withoutGeneration(append([]string{ourTag, "monitoring"}, tc.tags...)); !slices.Equal(rest, []string{ourTag, "monitoring"}) {
				t.Errorf("tags of the role: %v", rest)
			}
		})
	}
}

func TestStrangersAreNoGenerations(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]User{
		"not made here":     {Name: "britney-2026-11", Tags: []string{"generation-of-britney"}},
		"another's name":    {Name: "worker-2026-11", Tags: []string{ourTag, "generation-of-britney"}},
		"no serial's form":  {Name: "britney~x", Tags: []string{ourTag, "generation-of-britney"}},
		"nothing between":   {Name: "britney2026", Tags: []string{ourTag, "generation-of-britney"}},
		"an empty rotation": {Name: "britney-", Tags: []string{ourTag, "generation-of-britney"}},
	} {
		if g, ours := GenerationOf(u); ours {
			t.Errorf("%s: %+v", name, g)
		}
	}
	f := NewFamily("worker", []User{{Name: "worker", Tags: OurTags}, {Name: "worker-arm64", Tags: OurTags}})
	if len(f.Members) != 1 || f.Members[0].Name() != "worker" {
		t.Errorf("a user who merely has such a name is taken for a generation: %+v", f.Members)
	}
	if f.Knows("worker-arm64", "arm64") {
		t.Error("the credentials of a user who merely has such a name are taken for ours")
	}
	if g, _ := GenerationOf(User{Name: "x", Tags: []string{ourTag, "expires-never"}}); !g.Ending() || g.Ends.After(noon) {
		t.Errorf("an end that cannot be read: %+v", g)
	}
}

// family writes generations as "NAME", or "NAME!" for one that is to go.
func family(user string, names ...string) Family {
	var users []User
	for _, text := range names {
		name, ending := strings.CutSuffix(text, "!")
		u := User{Name: name, Tags: []string{ourTag}}
		if name != user {
			u.Tags = append(u.Tags, generationTag+user)
		}
		if ending {
			u.Tags = append(u.Tags, "expires-2026-11-25T12:00:00Z")
		}
		users = append(users, u)
	}
	return NewFamily(user, users)
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		there          []string
		rotation, held string
		want           string
	}{
		"a new user":                               {nil, "", "", "u"},
		"a new user with a word":                   {nil, "a", "", "u-a"},
		"nothing changes":                          {[]string{"u"}, "", "u", "u"},
		"nothing changes after a rotation":         {[]string{"u!", "u-a"}, "a", "u-a", "u-a"},
		"from none to a word":                      {[]string{"u"}, "a", "u", "u-a"},
		"from a word to the next":                  {[]string{"u-a"}, "b", "u-a", "u-b"},
		"back to none":                             {[]string{"u!", "u-a"}, "", "u-a", "u~1"},
		"back to none, the first one is gone":      {[]string{"u-a"}, "", "u-a", "u"},
		"back to a word whose generation goes":     {[]string{"u-a!", "u-b"}, "a", "u-b", "u-a~1"},
		"rotated by hand":                          {[]string{"u-a!", "u-a~1"}, "a", "u-a~1", "u-a~1"},
		"rotated by hand, and revoked":             {[]string{"u-a~1"}, "a", "u-a~1", "u-a~1"},
		"rotated by hand, then a new word":         {[]string{"u-a!", "u-a~1"}, "b", "u-a~1", "u-b"},
		"the file is of one that goes":             {[]string{"u-a!", "u-b"}, "b", "u-a", "u-b~1"},
		"restored, rotated by hand since":          {[]string{"u-a!", "u-a~1"}, "a", "u-a", "u-a~2"},
		"the file's one was deleted":               {nil, "a", "u-a", "u-a"},
		"the file's one by hand was deleted":       {nil, "a", "u-a~3", "u-a~3"},
		"the file is lost":                         {[]string{"u!", "u-a"}, "a", "", "u-a"},
		"the file is lost, rotated by hand":        {[]string{"u-a", "u-a~1"}, "a", "", "u-a~1"},
		"the file is lost, and a new word":         {[]string{"u-a"}, "b", "", "u-b"},
		"interrupted before the file was in place": {[]string{"u", "u-a"}, "a", "u", "u-a~1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := family("u", tc.there...).Choose(tc.rotation, tc.held).Name(); got != tc.want {
				t.Errorf("%v, word %q, file %q: %s, want %s", tc.there, tc.rotation, tc.held, got, tc.want)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for name, tc := range map[string]struct {
		was   Generation
		grace Grace
		want  Generation
	}{
		"none yet":            {Generation{}, Grace{For: hour}, Generation{Ends: noon.Add(hour)}},
		"at once":             {Generation{}, Grace{}, Generation{Ends: noon}},
		"never later":         {Generation{Ends: noon.Add(time.Minute)}, Grace{For: hour}, Generation{Ends: noon.Add(time.Minute)}},
		"sooner":              {Generation{Ends: noon.Add(hour)}, Grace{For: time.Minute}, Generation{Ends: noon.Add(time.Minute)}},
		"revoked":             {Generation{Ends: noon.Add(hour)}, Grace{}, Generation{Ends: noon}},
		"when idle":           {Generation{}, Grace{For: hour, Idle: true}, Generation{Ends: noon.Add(hour), Idle: hour}},
		"when idle, again":    {Generation{Ends: noon.Add(hour), Idle: hour}, Grace{For: hour, Idle: true}, Generation{Ends: noon.Add(hour), Idle: hour}},
		"no longer when idle": {Generation{Ends: noon.Add(hour), Idle: hour}, Grace{For: time.Minute}, Generation{Ends: noon.Add(time.Minute)}},
	} {
		if got := tc.was.Ended(noon, tc.grace); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if got := (Generation{}).Ended(noon.Add(time.Millisecond), Grace{For: hour}).Ends; got != noon.Add(hour+time.Second) {
		t.Errorf("less than was promised: %s", got)
	}
}

func TestFate(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for name, tc := range map[string]struct {
		g     Generation
		used  bool
		want  Fate
		until time.Time
	}{
		"the current one":    {Generation{}, false, Stays, time.Time{}},
		"not yet":            {Generation{Ends: noon.Add(time.Second)}, false, Stays, noon.Add(time.Second)},
		"now":                {Generation{Ends: noon}, true, Goes, noon},
		"long ago":           {Generation{Ends: noon.Add(-hour)}, true, Goes, noon.Add(-hour)},
		"idle, just counted": {Generation{Ends: noon.Add(50 * time.Minute), Idle: hour}, true, Stays, noon.Add(50 * time.Minute)},
		"idle, used":         {Generation{Ends: noon.Add(40 * time.Minute), Idle: hour}, true, Extends, noon.Add(hour)},
		"idle, used late":    {Generation{Ends: noon.Add(-hour), Idle: hour}, true, Extends, noon.Add(hour)},
		"idle, unused":       {Generation{Ends: noon.Add(40 * time.Minute), Idle: hour}, false, Stays, noon.Add(40 * time.Minute)},
		"idle for long":      {Generation{Ends: noon, Idle: hour}, false, Goes, noon},
	} {
		got, fate, err := tc.g.At(noon, func() (bool, error) { return tc.used, nil })
		if err != nil || fate != tc.want || got.Ends != tc.until {
			t.Errorf("%s: %+v, %d, %v", name, got, fate, err)
		}
	}
	failure := errors.New("no answer")
	if _, fate, err := (Generation{Ends: noon, Idle: hour}).At(noon, func() (bool, error) { return false, failure }); fate != Stays || !errors.Is(err, failure) {
		t.Errorf("who does not know removes nothing: %d, %v", fate, err)
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		there []string
		held  string
		now   time.Time
		want  string
	}{
		"all is well":      {[]string{"u-a"}, "u-a", noon, ""},
		"in its grace":     {[]string{"u!", "u-a"}, "u-a", noon.Add(-time.Second), ""},
		"due":              {[]string{"u!", "u-a"}, "u-a", noon, "u was to go at 2026-11-25T12:00:00Z"},
		"no end":           {[]string{"u", "u-a"}, "u-a", noon, "u has no end"},
		"the wrong one":    {[]string{"u!", "u-a"}, "u", noon, "the credentials file holds u, which goes"},
		"nothing is there": {nil, "u", noon, ""},
	} {
		got, err := family("u", tc.there...).Problem(tc.held, tc.now, func(string) (bool, error) { return false, nil })
		if err != nil || !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
