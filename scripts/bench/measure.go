package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
)

// idleFor is how long the stack is left alone before its memory is read: longer than a garbage collector's two minutes of
// grace would only flatter us, shorter would catch the start.
const idleFor = 20 * time.Second

// memoryLimit is for our own processes together, worker with four slots and collector, in KiB.
const memoryLimit = 60 * 1024

// ours are the processes that are our own programs and run all the time.
var ours = []string{"worker", "web"}

func processes(ctx context.Context, d *host.Directory) (map[string]host.Status, error) {
	services, err := d.Services()
	if err != nil {
		return nil, err
	}
	all := map[string]host.Status{}
	for _, service := range services {
		inspection, err := d.Inspect(ctx, service)
		if err != nil {
			return nil, err
		}
		for name, status := range inspection.Processes {
			all[name] = status
		}
	}
	return all, nil
}

func measureMemory(ctx context.Context, s *stack, table *report.Report) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	all, err := processes(ctx, d)
	if err != nil {
		return err
	}
	total := 0
	for _, name := range ours {
		status, ok := all[name]
		if !ok {
			return fmt.Errorf("the stack has no process %s", name)
		}
		resident, err := residentKiB(status.PID)
		if err != nil {
			return err
		}
		table.Note("resident, idle: "+name, fmt.Sprintf("%.1f MB", float64(resident)/1024))
		total += resident
	}
	table.Add("resident, idle: together", fmt.Sprintf("%.1f MB", float64(total)/1024),
		fmt.Sprintf("%d MB", memoryLimit/1024), total <= memoryLimit)
	return nil
}

func residentKiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no VmRSS", pid)
	}
	return strconv.Atoi(fields[0])
}

// measureKills ends every process of the stack with SIGKILL, one after the other, and waits until it serves again.
func measureKills(ctx context.Context, s *stack, table *report.Report) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	all, err := processes(ctx, d)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		limit := 5 * time.Second
		if name == "rabbitmq" {
			limit = 20 * time.Second
		}
		start := time.Now()
		if err := syscall.Kill(all[name].PID, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s (process %d): %w", name, all[name].PID, err)
		}
		if err := awaitServing(ctx, d, name, all[name].PID); err != nil {
			return err
		}
		table.Duration("kill -9 of "+name+" until it serves again", time.Since(start), limit)
	}
	return nil
}

// awaitServing waits at most a minute until the process is a new one and answers.
func awaitServing(ctx context.Context, d *host.Directory, name string, old int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error
	for {
		if last = serving(ctx, d, name, old); last == nil {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s did not come back within a minute: %w", name, last)
		}
	}
}

func serving(ctx context.Context, d *host.Directory, name string, old int) error {
	all, err := processes(ctx, d)
	if err != nil {
		return err
	}
	if status := all[name]; !status.Up || status.PID == old {
		return errors.New("process is down")
	}
	local := func(role host.Role) string { return fmt.Sprintf("127.0.0.1:%d", d.Port(role)) }
	switch name {
	case "rabbitmq":
		address, port, _ := d.AMQP()
		return speaksAMQP(ctx, net.JoinHostPort(address, strconv.Itoa(port)))
	case "rabbitmq-epmd":
		return connects(ctx, local(host.RoleEPMD))
	case "swift-memcached":
		return connects(ctx, local(host.RoleMemcached))
	case "swift-proxy":
		return answers(ctx, "http://"+local(host.RoleSwiftProxy)+"/healthcheck", http.StatusOK)
	case "swift-account":
		return answers(ctx, "http://"+local(host.RoleSwiftAccount)+"/healthcheck", 0)
	case "swift-container":
		return answers(ctx, "http://"+local(host.RoleSwiftContainer)+"/healthcheck", 0)
	case "swift-object":
		return answers(ctx, "http://"+local(host.RoleSwiftObject)+"/healthcheck", 0)
	case "worker":
		return answers(ctx, "http://"+local(host.RoleWorkerHealth)+"/readyz", http.StatusOK)
	case "web":
		return answers(ctx, "http://"+local(host.RoleWeb)+"/readyz", http.StatusOK)
	}
	return nil // a job without a port: that it runs is all there is to see
}

func connects(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// speaksAMQP offers AMQP 0-9-1 and waits for the server's first frame.
func speaksAMQP(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 8))
	return err
}

// answers wants an HTTP answer; the status 0 takes any.
func answers(ctx context.Context, url string, status int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // so that its connection can be used again
	if status != 0 && response.StatusCode != status {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
