package swift

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// TestRingIsSwifts compares with what swift-ring-builder 2.30 wrote for the same device, byte for byte but for the
// blanks that Python puts into JSON.
func TestRingIsSwifts(t *testing.T) {
	t.Parallel()
	file, err := ring(6300)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	header := `{"byteorder":"little","devs":[{"device":"d1","id":0,"ip":"127.0.0.1","meta":"","port":6300,"region":1,` +
		`"replication_ip":"127.0.0.1","replication_port":6300,"weight":1,"zone":1}],` +
		`"part_shift":28,"replica_count":1,"version":2}`
	want := "R1NG\x00\x01\x00\x00\x00" + string([]byte{byte(len(header))}) + header + string(make([]byte, 32))
	if string(got) != want {
		t.Errorf("ring:\n%q\nwant:\n%q", got, want)
	}
}
