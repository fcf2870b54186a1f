package request

import (
	"strings"
	"testing"
)

func TestParseQueue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Queue{
		"debci-noble-arm64":            {Normal, "noble", "arm64"},
		"debci-huge-noble-amd64v3":     {Huge, "noble", "amd64v3"},
		"debci-ppa-noble-i386":         {PPA, "noble", "i386"},
		"debci-upstream-noble-s390x":   {Upstream, "noble", "s390x"},
		"debci-testing-amd64":          {Normal, "testing", "amd64"},
		"debci-huge-amd64":             {Normal, "huge", "amd64"},
		"debci-24.04_lts+next-riscv64": {Normal, "24.04_lts+next", "riscv64"},
	} {
		got, err := ParseQueue(name)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
		if got.Name() != name {
			t.Errorf("%s is printed as %s", name, got.Name())
		}
	}
}

func TestParseQueueRefuses(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{
		"":                             "not a request queue",
		"complete-listener":            "not a request queue",
		"debci":                        "1 fields",
		"debci-noble":                  "2 fields",
		"debci-huge-foo-bar-amd64":     "neither a release nor an architecture may have a dash",
		"debci-trixie-backports-amd64": "a release is one word",
		"debci-ubuntu-noble-amd64":     `"ubuntu" is not a context`,
		"debci--noble-amd64":           `"" is not a context`,
		"debci-noble-":                 "the architecture is empty",
		"debci--amd64":                 "the release is empty",
		"debci-nob le-amd64":           "is not one word",
		"debci-noble-AMD64":            "lower-case",
		"debci-..-amd64":               "is not one word",
		"debci-noble/x-amd64":          "is not one word",
	} {
		_, err := ParseQueue(name)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: error %v, want one that says %q", name, err, reason)
		}
	}
}

func TestQueueValidate(t *testing.T) {
	t.Parallel()
	for reason, q := range map[string]Queue{
		"unknown context": {"big", "noble", "amd64"},
		"the release \"trixie-backports\" has a dash": {Normal, "trixie-backports", "amd64"},
		"the architecture \"hurd-i386\" has a dash":   {Normal, "noble", "hurd-i386"},
		"the release is empty":                        {Huge, "", "amd64"},
		"the architecture is empty":                   {Huge, "noble", ""},
		`the release "no\nble" is not one wo`:         {Huge, "no\nble", "amd64"},
	} {
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%+v: error %v, want one that says %q", q, err, reason)
		}
	}
}

func FuzzParseQueue(f *testing.F) {
	for _, name := range []string{"debci-noble-arm64", "debci-huge-noble-amd64", "debci-a-b-c-d", "debci--", "", "x-y-z"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, err := ParseQueue(name)
		if err != nil {
			return
		}
		if q.Name() != name {
			t.Fatalf("%q is printed as %q", name, q.Name())
		}
		if err := q.Validate(); err != nil {
			t.Fatalf("%q is parsed but not valid: %v", name, err)
		}
	})
}
