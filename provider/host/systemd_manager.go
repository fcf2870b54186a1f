package host

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// systemdFolder is there where systemd is the first process: sd_booted(3).
const systemdFolder = "/run/systemd/system"

// answerLimit bounds a question to systemd.
const answerLimit = 25 * time.Second

// CheckSystem says why no stack of ours can be system-wide on this machine: ErrMissing without systemd, ErrAccount for anybody but
// root.
func CheckSystem() error {
	if info, err := os.Lstat(systemdFolder); err != nil || !info.IsDir() {
		return &Problem{Kind: ErrMissing, Thing: "systemd",
			Cause:  "does not run this machine, and a system-wide stack is a set of its units",
			WayOut: "Deploy to a machine that boots with systemd, or without `system`: then the stack brings its own supervisor."}
	}
	if os.Geteuid() != 0 {
		return &Problem{Kind: ErrAccount, Thing: "a system-wide stack", Cause: "is put in place by root, and you are not",
			WayOut: "Run this as root, or without `system`: then the stack lives in a folder of yours."}
	}
	return nil
}

// manager is systemd, reached by its own socket: that needs no message bus.
type manager struct{ conn *dbus.Conn }

func newManager(ctx context.Context) (manager, error) {
	if err := CheckSystem(); err != nil {
		return manager{}, err
	}
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		// When the context ends, the connection's end is all that one is told.
		return manager{}, fmt.Errorf("reach systemd: %w", cmp.Or(context.Cause(ctx), err))
	}
	return manager{conn}, nil
}

func (m manager) close() { m.conn.Close() }

// unitState is what systemd knows of a unit.
type unitState struct {
	loaded  bool   // there is such a unit
	stale   bool   // its files have changed since systemd read them
	active  string // active, reloading, inactive, failed, activating, deactivating
	sub     string // of these in more detail: auto-restart, among others
	pid     int    // of the main process
	since   time.Time
	died    time.Time // when the last main process ended
	stopFor time.Duration
}

// up says whether the unit has its process, and is to have it.
func (s unitState) up() bool { return s.pid != 0 && s.active != "deactivating" }

// down says whether nothing of the unit runs or will run by itself.
func (s unitState) down() bool { return s.active == "inactive" || s.active == "failed" }

func (m manager) state(ctx context.Context, unit string) (unitState, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	p, err := m.conn.GetAllPropertiesContext(ctx, unit)
	if err != nil {
		return unitState{}, fmt.Errorf("ask systemd about %s: %w", unit, err)
	}
	s := unitState{loaded: p["LoadState"] == "loaded", stale: p["NeedDaemonReload"] == true}
	s.active, _ = p["ActiveState"].(string)
	s.sub, _ = p["SubState"].(string)
	pid, _ := p["MainPID"].(uint32)
	s.pid = int(pid)
	s.since, s.died = momentOf(p["StateChangeTimestamp"]), momentOf(p["ExecMainExitTimestamp"])
	if wait, ok := p["TimeoutStopUSec"].(uint64); ok && wait < uint64(time.Hour*24/time.Microsecond) {
		s.stopFor = time.Duration(wait) * time.Microsecond //nolint:gosec // less than a day
	}
	return s, nil
}

// momentOf reads systemd's microseconds since 1970; zero means never.
func momentOf(value any) time.Time {
	if microseconds, ok := value.(uint64); ok && microseconds != 0 {
		return time.UnixMicro(int64(microseconds)) //nolint:gosec // a time of day
	}
	return time.Time{}
}

func (m manager) reload(ctx context.Context) error {
	if err := m.conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("have systemd read its units anew: %w", err)
	}
	return nil
}

// start asks for a start and does not wait for its end.
func (m manager) start(ctx context.Context, unit string) error {
	_ = m.conn.ResetFailedUnitContext(ctx, unit) // one that has not failed is none that it knows
	if _, err := m.conn.StartUnitContext(ctx, unit, "replace", nil); err != nil {
		return fmt.Errorf("start %s: %w", unit, err)
	}
	return nil
}

// restart asks for a stop and a start. systemd does both even if we are gone meanwhile.
func (m manager) restart(ctx context.Context, unit string) error {
	if _, err := m.conn.RestartUnitContext(ctx, unit, "replace", nil); err != nil {
		return fmt.Errorf("restart %s: %w", unit, err)
	}
	return nil
}

// stop ends a unit and waits for that, for as long as systemd itself may take for it. One that is not there is no error.
func (m manager) stop(ctx context.Context, unit string) error {
	s, err := m.state(ctx, unit)
	if err != nil {
		return err
	}
	if !s.down() {
		if _, err := m.conn.StopUnitContext(ctx, unit, "replace", nil); err != nil {
			return fmt.Errorf("stop %s: %w", unit, err)
		}
	}
	for begin := time.Now(); !s.down(); {
		if time.Since(begin) > s.stopFor+killWait {
			return fmt.Errorf("stop %s: it is still %s (%s) after %s", unit, s.active, s.sub, time.Since(begin).Round(time.Second))
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("stop %s: %w", unit, err)
		}
		if s, err = m.state(ctx, unit); err != nil {
			return err
		}
	}
	_ = m.conn.ResetFailedUnitContext(ctx, unit)
	return nil
}

// kill ends all processes of a unit at once.
func (m manager) kill(ctx context.Context, unit string) {
	_ = m.conn.KillUnitWithTarget(ctx, unit, dbus.All, 9)
}
