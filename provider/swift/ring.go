package swift

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// partPower 4 gives 16 partitions: with one device their number only decides how many folders there are.
const partPower = 4

// ringDevice has the members that Swift's reader wants, in its own order.
type ringDevice struct {
	Device          string  `json:"device"`
	ID              int     `json:"id"`
	IP              string  `json:"ip"`
	Meta            string  `json:"meta"`
	Port            int     `json:"port"`
	Region          int     `json:"region"`
	ReplicationIP   string  `json:"replication_ip"`
	ReplicationPort int     `json:"replication_port"`
	Weight          float64 `json:"weight"`
	Zone            int     `json:"zone"`
}

type ringHeader struct {
	ByteOrder    string       `json:"byteorder"`
	Devs         []ringDevice `json:"devs"`
	PartShift    int          `json:"part_shift"`
	ReplicaCount int          `json:"replica_count"`
	Version      int          `json:"version"`
}

// ring is the ring file that puts every partition on the one device of the server at port: what `swift-ring-builder
// create 4 1 1`, `add r1z1-127.0.0.1:PORT/d1 1` and `rebalance` make, without their second of Python for each ring and
// with the same bytes each time. The format is Swift's version 1: magic, version, length and text of a JSON header,
// then for each partition the id of its device.
func ring(port int) ([]byte, error) {
	header, err := json.Marshal(ringHeader{
		ByteOrder: "little",
		Devs: []ringDevice{{
			Device: device, IP: "127.0.0.1", Port: port, ReplicationIP: "127.0.0.1", ReplicationPort: port,
			Region: 1, Zone: 1, Weight: 1,
		}},
		PartShift:    32 - partPower,
		ReplicaCount: 1,
		Version:      2,
	})
	if err != nil {
		return nil, fmt.Errorf("ring for port %d: %w", port, err)
	}
	var out bytes.Buffer
	// Stored, not compressed: compressed bytes may change with the Go release, and a changed file restarts the servers.
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		return nil, fmt.Errorf("ring for port %d: %w", port, err)
	}
	partitions := make([]uint16, 1<<partPower)
	for _, part := range []any{
		[]byte("R1NG"), uint16(1), uint32(len(header)), header,
	} {
		if err := binary.Write(w, binary.BigEndian, part); err != nil {
			return nil, fmt.Errorf("ring for port %d: %w", port, err)
		}
	}
	if err := binary.Write(w, binary.LittleEndian, partitions); err != nil {
		return nil, fmt.Errorf("ring for port %d: %w", port, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ring for port %d: %w", port, err)
	}
	return out.Bytes(), nil
}
