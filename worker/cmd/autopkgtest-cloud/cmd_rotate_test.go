package main

import "testing"

func TestRotateUsage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line   []string
		code   int
		reason string
	}{
		"no user":               {[]string{"rotate"}, exitUsage, "name one user"},
		"two users":             {[]string{"rotate", "a", "b"}, exitUsage, "name one user"},
		"revoked with a grace":  {[]string{"rotate", "a", "--revoke-now", "--grace=1h"}, exitUsage, "one of them"},
		"two graces":            {[]string{"rotate", "a", "--grace=1h", "--grace-idle=1h"}, exitUsage, "one of them"},
		"time runs backwards":   {[]string{"rotate", "a", "--grace=-1h"}, exitUsage, "--grace is -1h"},
		"too short to be seen":  {[]string{"rotate", "a", "--grace-idle=1m"}, exitUsage, "want at least 5m"},
		"no administrator":      {[]string{"rotate", "a"}, exitConfig, "needs url = http://HOST:15672"},
		"nor for expire":        {[]string{"expire"}, exitConfig, "needs url = http://HOST:15672"},
		"without a pause":       {[]string{"expire", "--every=1ms"}, exitUsage, "want at least 1s"},
		"the file is not there": {[]string{"expire", "--management-url=http://127.0.0.1:1", "--administrator=/nonexistent/admin"}, exitConfig, "/nonexistent/admin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.run(t, test.code, append([]string{"autopkgtest-cloud"}, test.line...)...)
			contains(t, "the message", f.err.String(), test.reason)
		})
	}
}
