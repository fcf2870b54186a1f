//go:build component

package testbed

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkWayOut makes a run that does nothing, with each way out, and removes it.
func BenchmarkWayOut(b *testing.B) {
	benchmarkWaysOut(b, "true", func(*testing.B, time.Duration) {})
}

// BenchmarkWayOutStream sends a quarter of a gigabyte from a run to its machine, and tells the processor time of all that had to
// do with it.
func BenchmarkWayOutStream(b *testing.B) {
	const size = 256 << 20
	benchmarkWaysOut(b, "dd if=/dev/zero bs=1M count=256 2>/dev/null >/dev/tcp/10.77.0.1/5001", func(b *testing.B, took time.Duration) {
		b.ReportMetric(took.Seconds()*(1<<30/size), "processor-s/GiB")
	})
}

func benchmarkWaysOut(b *testing.B, script string, report func(b *testing.B, processor time.Duration)) {
	b.Helper()
	if !mustBeRoot(b) {
		return
	}
	for _, kind := range []string{WayOutVeth, WayOutSlirp} {
		b.Run(kind, func(b *testing.B) {
			onRouter(b, func(*visits) {
				listener, err := net.Listen("tcp", "10.77.0.1:5001")
				if err != nil {
					b.Fatal(err)
				}
				defer listener.Close()
				go sink(listener)
				gate, err := machineFilter([]opening{opened("10.77.0.1", 5001)})
				if err != nil {
					b.Fatal(err)
				}
				before := processorTime(b)
				for b.Loop() {
					run := routed(b, script)
					run.gateway.rules = gate.gatewayRules()
					if kind == WayOutSlirp {
						run.gateway, run.inside.Network = nil, &insideNetwork{Filter: gate.ruleset(), IPv6: true}
					}
					if done, err := run.run(b.Context()); err != nil || done.status.shell() != 0 {
						b.Fatalf("%+v, %v", done.status, err)
					}
				}
				report(b, (processorTime(b)-before)/time.Duration(b.N))
			})
		})
	}
}

// sink reads whatever comes.
func sink(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, connection)
		connection.Close()
	}
}

// processorTime is that of this process and of all its children that have ended.
func processorTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}
