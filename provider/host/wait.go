package host

import (
	"context"
	"errors"
	"time"
)

// WaitReady calls check until it returns nil, at most for limit. The error is ErrNotReady and says what was awaited,
// what the last check saw, and the end of the process's log. A process that dies again and again ends the wait early.
func (d *Directory) WaitReady(ctx context.Context, what, process string, limit time.Duration,
	check func(context.Context) error) error {
	return errors.New("not yet")
}
