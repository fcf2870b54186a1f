package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
)

// memoryLimit is for a process with many slots that has nothing to do, in KiB.
const memoryLimit = 120 << 10

// idleFor is how long a worker is left alone before its memory is read.
const idleFor = 20 * time.Second

// measureMemory starts a worker with many slots and looks at it: as it starts, and when all of its slots have had something to
// do at the same time.
func measureMemory(ctx context.Context, c *cloud, slots int, table *report.Report) error {
	q, err := c.declare(ctx, "memory")
	if err != nil {
		return err
	}
	d, err := c.startWorker(q, slots)
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.await(ctx, "the worker to be ready", said(saidWaiting)); err != nil {
		return err
	}
	look := func(when string) error {
		if !pause(ctx, idleFor) {
			return context.Cause(ctx)
		}
		resident, err := residentKiB(d.command.Process.Pid)
		if err == nil {
			table.Add(fmt.Sprintf("resident, %d slots, %s", slots, when), fmt.Sprintf("%.1f MB", float64(resident)/1024),
				fmt.Sprintf("%d MB", memoryLimit>>10), resident <= memoryLimit)
		}
		return err
	}
	if err := look("idle since its start"); err != nil {
		return err
	}
	count, beside := children(d.command.Process.Pid)
	table.Note("beside it, namespaces made ahead", fmt.Sprintf("%d processes, %.1f MB", count, float64(beside)/1024))
	for n := range slots {
		body, err := requestOf(n).Body()
		if err != nil {
			return err
		}
		if err := c.session.Publish(ctx, "", q.Name(), body, true); err != nil {
			return err
		}
	}
	for range slots {
		if _, err := d.await(ctx, "the end of all requests", said(saidDone)); err != nil {
			return err
		}
	}
	return look("idle after as many requests")
}

// children are the processes that a process has started, and their memory in KiB, where shared pages count once.
func children(pid int) (count, memory int) {
	statuses, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is well-formed
	for _, path := range statuses {
		if parent, err := field(path, "PPid:"); err != nil || parent != pid {
			continue
		}
		count++
		if shared, err := field(filepath.Join(filepath.Dir(path), "smaps_rollup"), "Pss:"); err == nil {
			memory += shared
		}
	}
	return count, memory
}

func residentKiB(pid int) (int, error) { return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// field is a number in a file of the kernel's.
func field(path, name string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0, fmt.Errorf("%s has no %s", path, name)
	}
	return strconv.Atoi(words[0])
}
