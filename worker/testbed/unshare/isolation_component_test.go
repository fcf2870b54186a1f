//go:build component

package unshare_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// bait listens like a service that is not for tests, and counts who comes.
type bait struct {
	address string
	visits  atomic.Int32
}

func newBait(t *testing.T, host string) *bait {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bait{address: listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			b.visits.Add(1)
			connection.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return b
}

// port is the bait's port.
func (b *bait) port() string {
	_, port, _ := net.SplitHostPort(b.address)
	return port
}

// hostAddresses are this machine's addresses beside its loopback.
func hostAddresses(t *testing.T) []string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && !prefix.Addr().IsLoopback() && prefix.Addr().Is4() {
			out = append(out, prefix.Addr().String())
		}
	}
	return out
}

// intruder is a test that runs as root of its testbed, leaves it, and looks around. It prints what it could do; a line
// that begins with BAD is what it should not have been able to do.
const intruder = `#!/usr/bin/perl
use strict; use IO::Socket::INET;
sub bad { print "BAD: @_\n" }

for my $target (split / /, $ENV{TARGETS}) {
    my $s = IO::Socket::INET->new(PeerAddr => $target, Timeout => 5);
    if ($s) { bad("connected to $target") } else { print "refused: $target: $!\n" }
}
system("getent hosts $ENV{NAME_TO_FIND}") == 0 or bad("no DNS for $ENV{NAME_TO_FIND}");
system("getent hosts \$(hostname)") == 0 or bad("the testbed does not know its own name");

# Other processes: only our own.
for my $file (glob "/proc/[0-9]*/cmdline") {
    open my $f, "<", $file or next; local $/; my $line = <$f>;
    bad("sees the process $line") if defined $line && $line =~ m{$ENV{OUTSIDE}};
}

# The network's own knobs.
system("ip route del unreachable 169.254.0.0/16 2>&1");
for my $knob ("/proc/sys/net/ipv4/conf/lo/route_localnet", "/proc/sys/net/ipv4/ip_forward") {
    if (open my $f, ">", $knob) { print $f "1" and close $f and bad("wrote $knob") }
}

# Out of the chroot, the old way.
mkdir "/escape"; chroot "/escape" or bad("not root of the testbed");
chdir ".." for 1..64; chroot "." or die; chdir "/";
print "outside of the testbed: ", join(" ", glob "/*"), "\n";
bad("is still inside") unless -d "/images";
for my $secret (split / /, $ENV{SECRETS}) {
    bad("sees $secret") if -e $secret;
}
for my $folder ("/home", "/work", "/var/lib", "/etc/ssh", "/run/user", "/boot", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory") {
    bad("sees $folder") if -e $folder;
}
for my $file (glob "/images/* /usr/bin/perl /etc/passwd") {
    bad("may write $file") if open my $f, ">>", $file;
}
for my $file (glob "/proc/[0-9]*/environ") {
    next unless open my $f, "<", $file; local $/; my $text = <$f>;
    bad("reads $file") if defined $text && $text =~ m{$ENV{OUTSIDE}};
}
bad("enters the first process's root") if -e "/proc/1/root/usr";
kill 9, 1;
for my $pid (map { m,/proc/(\d+)/, } glob "/proc/[0-9]*/comm") {
    next if $pid == $$;
    open my $f, "<", "/proc/$pid/cmdline"; local $/; my $line = <$f> // "";
    # Those of the testbed are its own; these are its keepers'.
    bad("may trace $pid $line") if $line =~ m{^(/usr/bin/python3|autopkgtest-testbed|/bin/sh.*unshare-helper)} && -r "/proc/$pid/mem" && open my $m, "+<", "/proc/$pid/mem";
}
print "DONE\n";
`

// TestIsolation lets a hostile test look for everything that tests are kept away from.
func TestIsolation(t *testing.T) {
	t.Parallel()
	// A pattern for what is in this process's command line. It does not match itself, being in the test's environment.
	outside := "[" + os.Args[0][:1] + "]" + regexp.QuoteMeta(os.Args[0][1:])
	loopback, second, everywhere := newBait(t, "127.0.0.1"), newBait(t, "127.77.3.4"), newBait(t, "0.0.0.0")
	targets := []string{
		loopback.address, second.address,
		"127.0.0.1:" + everywhere.port(), "127.77.3.4:" + everywhere.port(),
		"10.0.2.2:" + loopback.port(), "10.0.2.2:" + everywhere.port(), // the gateway of user-mode networks
		"198.19.255.2:" + loopback.port(), "198.19.255.2:" + everywhere.port(), "198.19.255.3:" + everywhere.port(),
		"198.19.255.1:" + everywhere.port(), "0.0.0.0:" + everywhere.port(), "169.254.169.254:80",
	}
	for _, address := range hostAddresses(t) {
		targets = append(targets, address+":"+everywhere.port())
		// The bait is good: this machine itself reaches it there.
		connection, err := net.DialTimeout("tcp", address+":"+everywhere.port(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		connection.Close()
	}
	testbedtest.Await(t, "our own visits to the bait", func() bool { return int(everywhere.visits.Load()) == len(hostAddresses(t)) })
	own := everywhere.visits.Load()
	secret := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(secret, []byte("S3KRIT"), 0o600); err != nil {
		t.Fatal(err)
	}

	job := newJob(t, testbedtest.SourceTree(t, "Tests: intruder\nDepends: iproute2\nRestrictions: needs-root, allow-stderr\n",
		map[string]string{"intruder": intruder}))
	job.Request.Env = []string{"TARGETS=" + strings.Join(targets, " "), "SECRETS=" + secret + " " + job.WorkDir + " " + filepath.Dir(job.Image),
		"OUTSIDE=" + outside, "NAME_TO_FIND=" + mirrorName(t)}
	outcome, err := newRunner(t).Run(t.Context(), job)
	log := readLog(t, job)
	if err != nil || outcome.ExitCode != 0 {
		t.Fatalf("%+v, %v\n%s", outcome, err, log)
	}
	if !strings.Contains(log, "DONE") || !strings.Contains(log, "refused: "+loopback.address) {
		t.Errorf("the intruder did not get to its end:\n%s", log)
	}
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "BAD") {
			t.Error(line)
		}
	}
	for _, b := range []*bait{loopback, second} {
		if n := b.visits.Load(); n != 0 {
			t.Errorf("%d connections to %s", n, b.address)
		}
	}
	if n := everywhere.visits.Load() - own; n != 0 {
		t.Errorf("%d connections to %s", n, everywhere.address)
	}
	checkNothingLeft(t, job)
}

// mirrorName is a name that every testbed must be able to look up.
func mirrorName(t *testing.T) string {
	t.Helper()
	image, _ := testImage(t)
	info, err := describe(image)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
