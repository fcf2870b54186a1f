package hosttest

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// RefusesTakenPort holds a port that a service needs, and wants from its apply the error that says so.
func RefusesTakenPort(t testing.TB, address string, port int, apply func(context.Context) error) {
	t.Helper()
	taken, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	err = apply(t.Context())
	if !errors.Is(err, host.ErrPortTaken) || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("with a taken port: %v, want ErrPortTaken with its number", err)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
}

// Interrupt ends applies after some times, all of them too short for one to finish.
func Interrupt(t testing.TB, apply func(context.Context) error, after ...time.Duration) {
	t.Helper()
	for _, limit := range after {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		if err := apply(ctx); err == nil {
			t.Errorf("serves after %s: too fast for this test, which wants to interrupt it", limit)
		}
		cancel()
	}
}

// Withdraw takes a service away, twice as it must be possible, and wants that these files of it are gone.
func Withdraw(t testing.TB, d *host.Directory, withdraw func(context.Context, *host.Directory) error, files ...string) {
	t.Helper()
	begin := time.Now()
	for range 2 {
		if err := withdraw(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("withdrawn in %s", time.Since(begin).Round(10*time.Millisecond))
	for _, name := range files {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
}
