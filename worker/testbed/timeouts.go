package testbed

import (
	"fmt"
	"time"
)

// Timeouts are the limits that autopkgtest itself puts on the steps of a run. They end a step that hangs; the limit of
// the whole run is Job.Timeout.
type Timeouts struct {
	Short, Install, Test, Copy, Build time.Duration
}

// DefaultTimeouts are the ones that the Ubuntu cloud uses: package authors know them.
var DefaultTimeouts = Timeouts{
	Short:   300 * time.Second,
	Install: 3000 * time.Second,
	Test:    10000 * time.Second,
	Copy:    900 * time.Second,
	Build:   20000 * time.Second,
}

// slowArchitectures are emulated or slow enough that every limit is multiplied.
var slowArchitectures = map[string]int{"riscv64": 4}

// For stretches the limits for an architecture that is slow, and for packages that take long. One that is in both lists
// has the long one's factors, not the product.
func (t Timeouts) For(arch string, traits Traits) Timeouts {
	t = t.Stretched(slowArchitectures[arch])
	switch {
	case traits.Long:
		t.Test *= 4
		t.Build *= 2
	case traits.Big:
		t.Test *= 2
	}
	return t
}

// Stretched are the limits that many times as long. Zero changes nothing.
func (t Timeouts) Stretched(factor int) Timeouts {
	for _, limit := range []*time.Duration{&t.Short, &t.Install, &t.Test, &t.Copy, &t.Build} {
		*limit *= time.Duration(max(factor, 1))
	}
	return t
}

// arguments prints the limits in whole seconds, which is what autopkgtest takes.
func (t Timeouts) arguments() []string {
	var out []string
	for _, limit := range []struct {
		name  string
		value time.Duration
	}{{"short", t.Short}, {"install", t.Install}, {"test", t.Test}, {"copy", t.Copy}, {"build", t.Build}} {
		out = append(out, fmt.Sprintf("--timeout-%s=%d", limit.name, int64(limit.value/time.Second)))
	}
	return out
}
