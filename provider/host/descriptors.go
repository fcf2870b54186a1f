package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// closeOnExec marks every descriptor of this process but the standard three to be closed in children. Go does so for
// what it opens itself; this is about what we were started with. A supervisor that kept, say, the pipe of a
// `terraform apply | tee log` open would keep tee waiting for as long as the stack lives.
func closeOnExec() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return wrapCloseOnExec(err)
	}
	entries, err := os.ReadDir("/proc/self/fd") // a kernel before 5.11
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err == nil && number > 2 {
			unix.CloseOnExec(number)
		}
	}
	return wrapCloseOnExec(err)
}

func wrapCloseOnExec(err error) error {
	if err != nil {
		return fmt.Errorf("keep descriptors from children: %w", err)
	}
	return nil
}
