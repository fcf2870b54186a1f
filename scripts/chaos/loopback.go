package main

import (
	"context"
	"net"
	"strconv"
)

// loopback is a new port of this machine's own.
func loopback(ctx context.Context) (listener net.Listener, port int, err error) {
	listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	return listener, port, err
}
