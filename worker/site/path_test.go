package site

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	const id = "20261122_012127_abcde@"
	for path, want := range map[string]*view{
		"gzip":                              {pkg: "gzip"},
		"g/gzip":                            {pkg: "gzip"},
		"libp/libpng1.6":                    {pkg: "libpng1.6"},
		"lib/lib":                           {pkg: "lib"},
		"g/g++-12":                          {pkg: "g++-12"},
		"gzip/noble/amd64":                  {pkg: "gzip", release: "noble", arch: "amd64"},
		"g/gzip/noble/amd64":                {pkg: "gzip", release: "noble", arch: "amd64"},
		"gzip/noble/amd64/" + id:            {pkg: "gzip", release: "noble", arch: "amd64", runID: id},
		"g/gzip/noble/amd64/" + id:          {pkg: "gzip", release: "noble", arch: "amd64", runID: id},
		"gzip/noble/amd64/" + id + "/log":   {pkg: "gzip", release: "noble", arch: "amd64", runID: id, log: true},
		"g/gzip/noble/amd64/" + id + "/log": {pkg: "gzip", release: "noble", arch: "amd64", runID: id, log: true},
		"gzip/noble/amd64/20261122_012127@": {pkg: "gzip", release: "noble", arch: "amd64", runID: "20261122_012127@"},
		"log":                               {pkg: "log"}, // a package may be called so
		"l/log/noble/log":                   {pkg: "log", release: "noble", arch: "log"},

		"":            nil,
		"/":           nil,
		"x/gzip":      nil, // not its prefix
		"l/libpng1.6": nil,
		"gzip/noble":  nil,
		// Three words are PACKAGE/RELEASE/ARCH; that gzip is no release is found out later.
		"g/gzip/noble":                       {pkg: "g", release: "gzip", arch: "noble"},
		"gzip/" + id:                         nil,
		"g/gzip/noble/amd64/20261399_1@":     nil,
		"g/gzip/noble/amd64/" + id + "/x":    nil,
		"g/gzip/noble/amd64/x/" + id:         nil,
		"g/gzip/noble/amd64/" + id + "/log/": nil,
		"g/gz ip":                            nil,
		"../etc":                             nil,
		"g/gzip/no-ble/amd64":                nil,
		"a/b/c/d/e/f/g":                      nil,
	} {
		got, ok := parsePath(path)
		switch {
		case ok != (want != nil):
			t.Errorf("parsePath(%q) ok = %v", path, ok)
		case ok:
			if diff := cmp.Diff(*want, got, cmp.AllowUnexported(view{})); diff != "" {
				t.Errorf("parsePath(%q): %s", path, diff)
			}
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("g/gzip/noble/amd64/20261122_012127_abcde@/log")
	f.Fuzz(func(t *testing.T, path string) {
		v, ok := parsePath(path)
		if !ok {
			return
		}
		if !packageForm.MatchString(v.pkg) || v.release != "" && (!wordForm.MatchString(v.release) || !wordForm.MatchString(v.arch)) ||
			v.runID != "" && !v.runID.Valid() {
			t.Errorf("%q gives %+v", path, v)
		}
	})
}
