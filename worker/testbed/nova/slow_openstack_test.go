//go:build openstack && slow

package nova

import "testing"

// TestJanitorHundred is a worker's worst day.
func TestJanitorHundred(t *testing.T) { sweepLeaked(t, 100) }
