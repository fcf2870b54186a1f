package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// brokerService is the service and its process.
const brokerService = "rabbitmq"

// signalBroker ends the node: in order, or not. Its supervisor starts it again.
func (s *stack) signalBroker(ctx context.Context, signal syscall.Signal) error {
	pids, err := s.pids(ctx, brokerService)
	if err != nil {
		return err
	}
	if pids[brokerService] == 0 {
		return errors.New("the broker does not run at the moment")
	}
	return syscall.Kill(pids[brokerService], signal)
}

// forcedTimeout is far below what a run takes, and tick how often a channel looks at the age of its deliveries: a minute, if
// not told.
const (
	forcedTimeout = 4 * time.Second
	tick          = time.Second
)

var environmentValues = regexp.MustCompile(`^\[\{ok,([0-9]+)\},\{ok,([0-9]+)\}\]$`)

// forceTimeout gives the node a delivery timeout of seconds, for channels that are opened from now on. restore gives it the
// old one back.
func (s *stack) forceTimeout(ctx context.Context) (restore func(context.Context) error, err error) {
	said, err := s.evaluate(ctx, "[application:get_env(rabbit, consumer_timeout), "+
		"application:get_env(rabbit, channel_tick_interval)].")
	if err != nil {
		return nil, err
	}
	match := environmentValues.FindStringSubmatch(said)
	if match == nil {
		return nil, fmt.Errorf("the broker says of its delivery timeout and its tick %q", said)
	}
	set := func(ctx context.Context, timeout, tick string) error {
		_, err := s.evaluate(ctx, "application:set_env(rabbit, consumer_timeout, "+timeout+"), "+
			"application:set_env(rabbit, channel_tick_interval, "+tick+").")
		return err
	}
	restore = func(ctx context.Context) error { return set(ctx, match[1], match[2]) }
	return restore, set(ctx, milliseconds(forcedTimeout), milliseconds(tick))
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// evaluate runs a line of Erlang in the node.
func (s *stack) evaluate(ctx context.Context, expression string) (string, error) {
	pids, err := s.pids(ctx, brokerService)
	if err != nil {
		return "", err
	}
	// Whatever says where the node is, its own environment says it.
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[brokerService]))
	if err != nil {
		return "", fmt.Errorf("the broker does not run at the moment: %w", err)
	}
	var wanted []string
	for entry := range strings.SplitSeq(string(environment), "\x00") {
		if strings.HasPrefix(entry, "RABBITMQ_") || strings.HasPrefix(entry, "ERL_") || strings.HasPrefix(entry, "HOME=") {
			wanted = append(wanted, entry)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	err = s.directory.Run(ctx, host.Command{
		Argv: []string{"/usr/lib/rabbitmq/bin/rabbitmqctl", "--quiet", "eval", expression}, Env: wanted, Stdout: &out,
	})
	return strings.TrimSpace(out.String()), err
}
