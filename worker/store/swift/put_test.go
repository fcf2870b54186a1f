package swift

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// slow is a reader that is in the middle of a read until it is released.
type slow struct {
	started, release chan struct{}
	busy             bool // unguarded on purpose: the race detector sees who does not wait
}

func (s *slow) Read(p []byte) (int, error) {
	s.busy = true
	close(s.started)
	<-s.release
	s.busy = false
	return len(p), nil
}

// TestLendEnds: the HTTP client may hold on to a body; whoever lent it must not notice.
func TestLendEnds(t *testing.T) {
	t.Parallel()
	body := &slow{started: make(chan struct{}), release: make(chan struct{})}
	var kept io.Reader
	done := make(chan struct{})
	answer := errors.New("the server's answer")
	err := lend(body, func(r io.Reader) error {
		kept = r
		go func() {
			defer close(done)
			_, _ = r.Read(make([]byte, 1))
		}()
		<-body.started
		go close(body.release)
		return answer // while the read goes on
	})
	if body.busy {
		t.Error("somebody still reads")
	}
	if !errors.Is(err, answer) {
		t.Errorf("error %v, want the attempt's", err)
	}
	<-done
	if n, err := kept.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errOver) {
		t.Errorf("a late read gives %d, %v", n, err)
	}
}

func TestLendTellsOfTheBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	err := lend(iotest.ErrReader(broken), func(r io.Reader) error {
		_, _ = io.ReadAll(r)
		return errors.New("what the HTTP client made of it")
	})
	var caller *bodyError
	if !errors.As(err, &caller) || !errors.Is(err, broken) {
		t.Errorf("error %v, want the body's", err)
	}
	if err := lend(strings.NewReader("x"), func(r io.Reader) error { _, err := io.ReadAll(r); return err }); err != nil {
		t.Errorf("a body that ends: %v", err)
	}
}
