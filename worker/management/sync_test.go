package management

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Who asks while a sync is at work may have written after it began and needs another one; but all of them the same.
func TestSyncIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := someManagement(t)
		count := 0
		leave := make(chan error)
		m.syncs.write = func(context.Context) error {
			count++
			return <-leave
		}
		results := make(chan error, 4)
		ask := func() {
			go func() { results <- m.Sync(t.Context()) }()
			synctest.Wait()
		}
		for range 4 {
			ask()
		}
		failure := errors.New("it is down")
		leave <- failure
		if err := <-results; !errors.Is(err, failure) || count != 1 {
			t.Errorf("the first: %v, %d syncs", err, count)
		}
		leave <- nil
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("one of those that share the second: %v", err)
			}
		}
		ask()
		leave <- nil
		if err := <-results; err != nil || count != 3 {
			t.Errorf("the last: %v, %d syncs", err, count)
		}
	})
}

func TestSyncLeavesTheBrokersOfOthersAlone(t *testing.T) {
	t.Parallel()
	if err := someManagement(t).Sync(t.Context()); err != nil {
		t.Error(err)
	}
}

func someManagement(t *testing.T) *Client {
	t.Helper()
	m, err := New("http://127.0.0.1:15672", "admin", "x")
	if err != nil {
		t.Fatal(err)
	}
	return m
}
