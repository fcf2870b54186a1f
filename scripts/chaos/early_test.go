package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Frames as they are on the wire, channel 3.
var (
	heartbeat = []byte{8, 0, 0, 0, 0, 0, 0, 0xCE}
	deliver   = []byte{1, 0, 3, 0, 0, 0, 19, 0, 60, 0, 60, 2, 'c', 't', 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 1, 'q', 0xCE}
	ack42     = []byte{1, 0, 3, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0xCE}
	publish   = []byte{1, 0, 3, 0, 0, 0, 9, 0, 60, 0, 40, 0, 0, 0, 0, 0, 0xCE}
)

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func TestEarlyAcknowledgement(t *testing.T) {
	t.Parallel()
	var client, back bytes.Buffer
	_ = brokerSays(bytes.NewReader(join(heartbeat, deliver, heartbeat)), &client, &back)
	if diff := cmp.Diff(join(heartbeat, deliver, heartbeat), client.Bytes()); diff != "" {
		t.Errorf("the worker hears (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ack42, back.Bytes()); diff != "" {
		t.Errorf("the broker hears of the delivery (-want +got):\n%s", diff)
	}
	var server bytes.Buffer
	hello := []byte("AMQP\x00\x00\x09\x01")
	_ = workerSays(bytes.NewReader(join(hello, heartbeat, ack42, publish)), &server)
	if diff := cmp.Diff(join(hello, heartbeat, publish), server.Bytes()); diff != "" {
		t.Errorf("the broker hears of the worker (-want +got):\n%s", diff)
	}
}
