package testbedtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Target is a backend that a hostile package attacks.
type Target struct {
	// Runner makes a runner of the backend, and Job a run of a source tree called tiny.
	Runner func(t *testing.T, options ...testbed.Option) *testbed.Runner
	Job    func(t *testing.T, source string) testbed.Job

	// Source writes a source package called tiny, with a control file and further files of its tests.
	Source func(t *testing.T, control string, files map[string]string) string

	// Mirror is a host name that every testbed must be able to look up, and to reach by HTTP.
	Mirror string

	// SharesMachine says that root of a testbed is root of this machine, so that what is the kernel's alone is not looked at.
	SharesMachine bool

	// Container, OwnKernel and Nameservers are as in Subject.
	Container, OwnKernel bool
	Nameservers          []string

	// Patience is how long a testbed may take to be there.
	Patience time.Duration

	// NoIPv6 says that testbeds have no IPv6, so that what is public there is not tried.
	NoIPv6 bool

	// WayOut is the testbed.Network's Kind.
	WayOut string
}

// The addresses of the other machine (see OnOtherMachine) that a test must not reach, of each kind at least one.
var forbidden = []string{
	// The machine's own, public or not, and its loopback.
	"127.0.0.1", "127.77.3.4", "0.0.0.0", "10.77.0.1", "192.168.77.1", "198.51.100.77", "10.0.2.100",
	"::1", "fd77::1", "2001:db8:77::1", "::ffff:10.77.0.1", "::ffff:127.0.0.1",
	// Private networks and special ranges.
	"10.88.0.5", "172.21.88.5", "192.168.88.5", "100.64.88.5", "198.18.88.5", "::ffff:10.88.0.5", "fd88::5",
	"64:ff9b::a58:5", "2002:a58:5::1",
	// Where clouds give out an instance's credentials.
	"169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254",
	// The gateways and the nameserver of user-mode networks, on the bait's port.
	"10.0.2.2", "10.0.2.3", "198.19.255.2", "198.19.255.3", "198.19.255.1", "fd00::2", "fd00::3",
	// Both ends of the first two runs' gateways.
	"198.19.252.0", "198.19.252.1", "198.19.252.2", "198.19.252.3", "fd8a:6a3e:1f0c::", "fd8a:6a3e:1f0c::1", "fd8a:6a3e:1f0c::2",
}

// What a test may reach: what is public, and what the operator lists.
var (
	public  = []string{"203.0.113.200", "2001:db8:88::5"}
	allowed = []testbed.Destination{
		{Network: netip.MustParsePrefix("10.88.0.9/32")}, // the port is the bait's
		{Network: netip.MustParsePrefix("fd88::9/128")},
	}
	listed = []string{"10.88.0.9", "fd88::9"}
)

// Hostile runs a package that tries to reach everything that tests are kept away from, beside another run. It is called by a
// test for which OnOtherMachine has returned true.
func Hostile(t *testing.T, target Target) {
	word := strconv.FormatInt(time.Now().UnixNano(), 36)
	public, listed := public, listed
	if target.NoIPv6 {
		public, listed = public[:1], listed[:1]
	}
	open, closed := newBait(t), newBait(t)
	allow := slices.Clone(allowed)
	allow[0].Port = uint16(open.port)
	runner := target.Runner(t, testbed.WithNetwork(testbed.Network{Allow: allow, Kind: target.WayOut}))
	if target.WayOut != "" && runner.WayOut() != target.WayOut {
		t.Fatalf("the way out is %s, not %s", runner.WayOut(), target.WayOut)
	}
	checkBait(t, open)

	secret := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(secret, []byte("S3KRIT"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", "@worker-"+word)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addKey(t, "worker-"+word)

	neighbour := target.Job(t, target.Source(t, "Tests: neighbour\nDepends:\nRestrictions: needs-root, allow-stderr\n",
		map[string]string{"neighbour": neighbourScript}))
	neighbour.Request.Env = []string{"WORD=" + word}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("the neighbour is not needed any more")
	alive := make(chan error, 1)
	go func() {
		_, err := runner.Run(ctx, neighbour)
		alive <- err
	}()
	defer func() {
		cancel(enough)
		if err := <-alive; !errors.Is(err, enough) {
			t.Errorf("the neighbour ended with %v", err)
		}
	}()
	await(t, target.Patience, "the neighbour to be there", func() bool {
		select {
		case err := <-alive:
			alive <- err
			t.Fatalf("the neighbour ended: %v", err)
		default:
		}
		log, err := os.ReadFile(filepath.Join(neighbour.OutputDir, "log"))
		return err == nil && strings.Contains(string(log), "NEIGHBOUR IS UP")
	})

	job := target.Job(t, target.Source(t, "Tests: intruder\nDepends: perl, nftables, iproute2\nRestrictions: needs-root, allow-stderr\n",
		map[string]string{"intruder": intruder}))
	job.Request.Env = []string{
		"FORBIDDEN=" + strings.Join(forbidden, " "), "PUBLIC=" + strings.Join(public, " "), "LISTED=" + strings.Join(listed, " "),
		"OPEN=" + strconv.Itoa(open.port), "CLOSED=" + strconv.Itoa(closed.port), "MIRROR=" + target.Mirror,
		"SECRETS=" + secret + " " + job.WorkDir + " " + neighbour.WorkDir,
		// It must not find itself: its environment has no more than a pattern that does not match itself.
		"PATTERN=[" + word[:1] + "]" + word[1:], "SHARES_MACHINE=" + flag(target.SharesMachine),
		"CONTAINER=" + flag(target.Container), "OWN_KERNEL=" + flag(target.OwnKernel),
		"NAMESERVERS=" + strings.Join(append([]string{testbed.Nameserver}, target.Nameservers...), " "),
	}
	outcome, err := runner.Run(t.Context(), job)
	text, _ := os.ReadFile(filepath.Join(job.OutputDir, "log"))
	log := string(text)
	if err != nil || outcome.ExitCode != 0 || !strings.Contains(log, "\nDONE\n") {
		t.Fatalf("%+v, %v\n%s", outcome, err, log)
	}
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "BAD") {
			t.Error(strings.TrimSpace(line))
		}
	}
	want := []string{}
	for _, address := range slices.Concat(public, listed) {
		want = append(want, "tcp "+address, "udp "+address)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, open.visits()); diff != "" {
		t.Errorf("visits at the open port (-want +got):\n%s", diff)
	}
	// What is listed with a port is listed for that one.
	want = []string{}
	for _, address := range slices.Concat(public, listed[1:]) {
		want = append(want, "tcp "+address, "udp "+address)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, closed.visits()); diff != "" {
		t.Errorf("visits at the other port (-want +got):\n%s", diff)
	}
	if t.Failed() {
		t.Log(log)
	}
}

// flag is how a script is told.
func flag(set bool) string {
	if set {
		return "1"
	}
	return ""
}

// checkBait makes sure that this machine itself reaches the bait wherever a test must not.
func checkBait(t *testing.T, b *bait) {
	t.Helper()
	for _, address := range []string{"127.0.0.1", "10.77.0.1", "198.51.100.77", "10.88.0.5", "172.21.88.5", "169.254.169.254",
		"168.63.129.16", "fd77::1", "2001:db8:77::1",
		"fd88::5", "64:ff9b::a58:5", "2002:a58:5::1", "fd00:ec2::254", "203.0.113.200", "2001:db8:88::5"} {
		connection, err := net.DialTimeout("tcp", net.JoinHostPort(address, strconv.Itoa(b.port)), 5*time.Second)
		if err != nil {
			t.Fatalf("the other machine is not as it should be: %v", err)
		}
		connection.Close()
		Await(t, "our own visit to "+address, func() bool { return slices.Contains(b.visits(), "tcp "+address) })
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.visited = nil
}

// addKey puts a key into the account's keyring, as a login does. A kernel without keys has none to steal.
func addKey(t *testing.T, name string) {
	t.Helper()
	for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING} {
		if _, err := unix.AddKey("user", name, []byte("S3KRIT"), ring); err != nil && !errors.Is(err, unix.ENOSYS) {
			t.Fatal(fmt.Errorf("add a key: %w", err))
		}
	}
}

// neighbourScript has one of everything that another run might find.
const neighbourScript = `#!/usr/bin/perl
use strict; use IO::Socket::INET; use IO::Socket::UNIX; use Socket;
$| = 1;
my $word = $ENV{WORD};
my $tcp = IO::Socket::INET->new(Listen => 5, LocalAddr => "0.0.0.0", LocalPort => 7777, ReuseAddr => 1) or die "tcp: $!";
socket(my $unix, AF_UNIX, SOCK_STREAM, 0) or die; bind($unix, pack_sockaddr_un("\0neighbour-$word")) or die "unix: $!"; listen($unix, 5);
my $shm = shmget(0x7777, 4096, 01000 | 0666); defined $shm or die "shm: $!"; shmwrite($shm, "S3KRIT", 0, 6);
for my $dir ("/tmp", "/var/tmp", "/dev/shm") { open my $f, ">", "$dir/neighbour-$word"; print $f "S3KRIT" }
my %add_key = (x86_64 => 248, aarch64 => 217); chomp(my $machine = qx(uname -m));
if (my $number = $add_key{$machine}) {
    my ($type, $name, $text) = ("user", "neighbour-$word", "S3KRIT");
    syscall($number, $type, $name, $text, 6, $_) for -3, -4, -5;
}
$0 = "neighbour-$word";
print "NEIGHBOUR IS UP\n";
sleep 100000 while 1;
`

// intruder tries. A line that begins with BAD is what it should not have been able to do, or what it should.
const intruder = `#!/usr/bin/perl
use strict; use IO::Socket::IP; use IO::Socket::UNIX; use Socket;
$| = 1;
sub bad { print "BAD: @_\n" }
my $pattern = $ENV{PATTERN}; my $word = $pattern; $word =~ tr/[]//d;

sub tcp { my ($address, $port) = @_; IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Timeout => 5) }
sub udp {
    my ($address, $port) = @_;
    my $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Proto => "udp") or return;
    for (1..2) { $s->send($address); select undef, undef, undef, 0.01 }
}
my ($open, $closed) = ($ENV{OPEN}, $ENV{CLOSED});
my %nameserver = map { $_ => 1 } split / /, $ENV{NAMESERVERS};
sub attack {
    for my $address (split / /, $ENV{FORBIDDEN}) {
        for my $port ($open, $closed, 80, 53) {
            next if $port == 53 && $nameserver{$address};
            my $started = time;
            bad("connected to $address port $port") if tcp($address, $port);
            bad("the attempt to connect to $address port $port hung") if time - $started > 3;
            udp($address, $port);
        }
    }
    bad("connected to port 80 of the nameserver") if tcp("198.19.255.3", 80);
}
attack();
# As root of the testbed, take the filter off, and try again.
for my $command ("nft flush ruleset", "nft delete table inet autopkgtest", "ip link set out0 down", "ip route add 10.88.0.0/24 dev out0",
    "ip address add 10.88.0.77/24 dev out0", "ip link add x0 type bridge", "ip route flush table main") {
    # Flushing nothing succeeds. A network of one's own is not the run's, and is not to be lost here.
    next if $ENV{SHARES_MACHINE} || $ENV{CONTAINER} && $command !~ /^nft/;
    bad("root may do: $command") if system("$command >/dev/null 2>&1") == 0 && $command !~ /flush/;
}
attack();

for my $address (split / /, $ENV{PUBLIC}) {
    for my $port ($open, $closed) { tcp($address, $port) or bad("public $address port $port: $@"); udp($address, $port) }
}
for my $address (split / /, $ENV{LISTED}) {
    tcp($address, $open) or bad("listed $address: $@"); udp($address, $open);
    my $other = tcp($address, $closed);
    if ($address =~ /:/) { $other or bad("listed $address: $@") } else { bad("$address is open for another port") if $other }
    udp($address, $closed);
}
system("getent hosts $ENV{MIRROR}") == 0 or bad("no DNS for $ENV{MIRROR}");
tcp($ENV{MIRROR}, 80) or bad("the mirror: $@");

# The run beside this one, and the worker.
for my $address ("198.19.255.100", "127.0.0.1", "198.19.252.1", "198.19.252.3") {
    bad("connected to the neighbour's port at $address") if tcp($address, 7777);
}
for my $who ("neighbour", "worker") {
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
    bad("connected to the abstract socket of the $who") if connect($s, pack_sockaddr_un("\0$who-$word"));
}
bad("finds the neighbour's shared memory") if defined shmget(0x7777, 4096, 0);
for my $file (glob "/proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/[0-9]*/comm") {
    open my $f, "<", $file or next; local $/; my $text = <$f> // "";
    bad("reads $file: $text") if $text =~ /(neighbour|worker)-$pattern/;
}
my %seen = map { m,(\d+), => 1 } glob "/proc/[0-9]*";
for my $pid (1..40000) {
    next if $seen{$pid} || !kill 0, $pid;
    # Threads have numbers too.
    bad("may signal process $pid, which it does not see") unless -e "/proc/$pid";
}
my %numbers = (x86_64 => [249, 250], aarch64 => [218, 219]); chomp(my $machine = qx(uname -m));
if (my $n = $numbers{$machine}) {
    my $type = "user";
    for my $who ("neighbour", "worker") {
        my $name = "$who-$word";
        bad("requests the key of the $who") if syscall($n->[0], $type, $name, 0, 0) >= 0;
        for my $ring (-1, -2, -3, $ENV{SHARES_MACHINE} ? () : (-4, -5)) {
            bad("finds the key of the $who in $ring") if syscall($n->[1], 10, $ring, $type, $name, 0) >= 0;
        }
    }
}
# All runs are the same account to the kernel, so the names of each other's keys can be seen; that is all.
if (!$ENV{SHARES_MACHINE} && open my $f, "<", "/proc/keys") {
    for my $key (grep { /-$pattern/ } <$f>) {
        my $n = $numbers{$machine}[1]; my $id = hex((split / /, $key)[0]); my $buffer = "x" x 100; my $text = "y";
        bad("reads the key $key") if syscall($n, 11, $id, $buffer, 100) >= 0;
        bad("takes the key $key") if syscall($n, 8, $id, -3) >= 0;
        bad("changes the key $key") if syscall($n, 2, $id, $text, 1) >= 0 || syscall($n, 5, $id, 0x3f3f3f3f) >= 0;
        bad("removes the key $key") if syscall($n, 3, $id) >= 0 || syscall($n, 21, $id) >= 0 || syscall($n, 15, $id, 1) >= 0;
    }
}

# What is the kernel's.
if (!$ENV{SHARES_MACHINE} && !$ENV{OWN_KERNEL}) {
    for my $file (map { "/proc/$_" } qw(sysrq-trigger kcore sys/kernel/core_pattern sys/kernel/modprobe sys/kernel/sysrq sys/kernel/panic
        sys/kernel/printk sys/vm/drop_caches sys/vm/overcommit_memory sys/fs/file-max sys/fs/suid_dumpable sys/kernel/randomize_va_space
        sys/kernel/kptr_restrict sys/net/ipv4/ip_forward sys/net/ipv4/conf/all/route_localnet)) {
        next if !-e $file || $ENV{CONTAINER} && $file =~ m,/sys/net/,;
        bad("may write $file") if open my $f, "+<", $file;
    }
    for my $file (glob "/sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/tasks") {
        bad("may write $file") if !$ENV{CONTAINER} && open my $f, ">>", $file;
    }
    bad("made a device") if system("mknod /tmp/device b 8 0 2>/dev/null") == 0 && open my $f, "<", "/tmp/device";
}

# Out of the testbed, where there is nothing of this machine.
mkdir "/escape"; if (chroot "/escape") { chdir ".." for 1..64; chroot "."; chdir "/" }
for my $secret (split / /, $ENV{SECRETS}) { bad("sees $secret") if -e $secret }
for my $file (glob "/tmp/*-$word /var/tmp/*-$word /dev/shm/*-$word /*/*-$word") { bad("sees $file") if -e $file }
for my $secret (split / /, $ENV{SECRETS}) { bad("sees $secret through the first process") if -e "/proc/1/root$secret" }
print "DONE\n";
`
