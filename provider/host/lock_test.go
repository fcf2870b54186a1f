package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestLockTakesTurns(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	inside, most := 0, 0
	var counter sync.Mutex
	count := func(by int) {
		counter.Lock()
		defer counter.Unlock()
		inside += by
		most = max(most, inside)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			unlock, err := d.Lock(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			count(1)
			time.Sleep(time.Millisecond) // the longer one is inside, the likelier a second would be seen
			count(-1)
			unlock()
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d at a time", most)
	}
}

func TestLockSaysWhoHoldsIt(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	unlock, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = d.Lock(ctx)
	holder := fmt.Sprintf("process %d (%s) since", os.Getpid(), filepath.Base(os.Args[0]))
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), holder) {
		t.Errorf("error %v", err)
	}
}

// Release removes lock files. Who had opened one before must not believe to hold what nobody else can see.
func TestLockNoticesThatItsFileWasRemoved(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	root, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, replace := range map[string]bool{"removed": false, "replaced": true} {
		file, err := d.openLock(root, lockCaller)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := d.Remove(t.Context(), lockCaller); err != nil {
			t.Fatal(err)
		}
		if replace {
			write(t, d.Path(lockCaller), "")
		}
		if locked, err := takeLock(root, file, lockCaller); locked || err != nil {
			t.Errorf("%s: locked %t, %v", name, locked, err)
		}
	}
	unlock, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// TestUnlockWhileAChildStarts: until a program that is being started has taken its place, it has all files open that this process has.
func TestUnlockWhileAChildStarts(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	lock, err := d.tryLock(lockCaller)
	if err != nil || lock == nil {
		t.Fatal(lock, err)
	}
	childs, err := syscall.Dup(int(lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(childs) }()
	unlockFile(lock)
	again, err := d.tryLock(lockCaller)
	if err != nil || again == nil {
		t.Fatalf("what was given back is still taken: %v", err)
	}
	unlockFile(again)
}
