//go:build component

package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// newRealApp is the command as it runs, with a configuration for an account at a real broker.
func newRealApp(t *testing.T, account config.Broker) (a *app, out, err *bytes.Buffer) {
	t.Helper()
	f := newFixture(t, nil)
	credentials := filepath.Join(t.TempDir(), "britney")
	f.write(t, credentials, string(account.File(config.KeyGatekeeper)))
	f.write(t, f.config, "[amqp]\ncredentials_file = "+credentials+"\n")
	a = newApp()
	a.out, a.err, a.getenv, a.now = &f.out, &f.err, f.app.getenv, f.app.now
	return a, &f.out, &f.err
}

// TestPublishForReal: the requester's rights, and no more, are enough, and what arrives is what a worker reads.
func TestPublishForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	requester := broker.User(t, "requester", "", "^amq.default$", "")
	for _, name := range []string{"debci-noble-amd64", "debci-huge-noble-amd64"} {
		broker.DeclareQueue(t, name)
	}
	a, out, err := newRealApp(t, requester)
	order := []string{"-s", "noble", "-a", "amd64", "--trigger", "green/1", "green", "blue"}
	if code := a.run(t.Context(), append([]string{"run-autopkgtest"}, order...)); code != 0 || out.Len()+err.Len() > 0 {
		t.Fatalf("exit code %d: %s%s", code, out, err)
	}
	if code := a.run(t.Context(), append([]string{"autopkgtest-cloud", "request", "--bulk"}, order...)); code != 0 {
		t.Fatalf("exit code %d: %s", code, err)
	}

	session, failed := queue.Dial(t.Context(), broker.Admin)
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() { _ = session.Close() })
	deliveries, failed := session.Consume(t.Context(), []string{"debci-noble-amd64", "debci-huge-noble-amd64"}, 10)
	if failed != nil {
		t.Fatal(failed)
	}
	got := map[string]int{}
	for range 4 {
		d := <-deliveries
		r, failed := request.Parse(d.Body)
		if failed != nil {
			t.Fatal(failed)
		}
		got[d.QueueName+" "+r.Package+" "+r.Triggers[0]]++
	}
	want := map[string]int{
		"debci-noble-amd64 green green/1": 1, "debci-noble-amd64 blue green/1": 1,
		"debci-huge-noble-amd64 green green/1": 1, "debci-huge-noble-amd64 blue green/1": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestPublishTroubleForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, "debci-noble-amd64")
	requester := broker.User(t, "requester", "", "^amq.default$", "")
	wrong := requester
	wrong.Password = "wrong"
	nobody := requester
	nobody.Host, nobody.Port = "127.0.0.1", 1
	powerless := broker.User(t, "powerless", "", "^$", "")
	for name, test := range map[string]struct {
		account config.Broker
		arch    string
		code    int
		reason  string
	}{
		"no queue":       {requester, "arm64", exitUnavailable, "there is no queue debci-noble-arm64"},
		"wrong password": {wrong, "amd64", exitRefused, wrong.Address()},
		"nobody there":   {nobody, "amd64", exitUnavailable, "127.0.0.1:1"},
		"no right":       {powerless, "amd64", exitRefused, "debci-noble-amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			a, out, err := newRealApp(t, test.account)
			code := a.run(t.Context(), []string{"autopkgtest-cloud", "request", "-s", "noble", "-a", test.arch, "--trigger", "green/1", "green"})
			if code != test.code || out.Len() > 0 {
				t.Errorf("exit code %d, want %d: %s%s", code, test.code, out, err)
			}
			contains(t, "message", err.String(), test.reason)
		})
	}
}

// TestControlForReal: an operator's rights, and no more, are enough to command a worker with a worker's rights.
func TestControlForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareFanout(t, queue.ControlExchange)
	broker.DeclareFanout(t, queue.AnswersExchange)
	operator := broker.User(t, "operator", `^amq\.gen-.*$`, `^(amq\.gen-.*|amq\.default|autopkgtest\.control)$`, `^(amq\.gen-.*|autopkgtest\.answers)$`)
	worker := broker.User(t, "worker", `^amq\.gen-.*$`, `^(amq\.gen-.*|autopkgtest\.answers)$`, `^(amq\.gen-.*|autopkgtest\.control)$`)
	requester := broker.User(t, "requester", "", "^amq.default$", "")
	a, out, err := newRealApp(t, operator)
	command := []string{"autopkgtest-cloud", "cancel", "--timeout", "500ms", handle}
	if code := a.run(t.Context(), command); code != exitUnavailable {
		t.Errorf("without a worker: exit code %d: %s", code, err)
	}
	contains(t, "message", err.String(), "no worker listens")

	session, failed := queue.Dial(t.Context(), worker)
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() { _ = session.Close() })
	ready, has := make(chan struct{}), make(chan string, 1)
	has <- ""
	go func() {
		_ = session.HearOrders(t.Context(), func() { close(ready) }, func(o queue.Order) {
			known := <-has
			has <- known
			answer := queue.Answer{Handle: o.Handle, Worker: "lab-1 for " + o.By, Known: known == o.Handle, OK: known == o.Handle}
			if err := session.Answer(t.Context(), o, answer); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}()
	<-ready
	err.Reset()
	if code := a.run(t.Context(), command); code != exitUnavailable {
		t.Errorf("nobody has it: exit code %d: %s", code, err)
	}
	contains(t, "message", err.String(), "no running test has the handle", "lab-1 for "+operator.Username)
	<-has
	has <- handle
	out.Reset()
	if code := a.run(t.Context(), []string{"autopkgtest-cloud", "cancel", handle}); code != 0 {
		t.Errorf("exit code %d: %s", code, err)
	}
	contains(t, "output", out.String(), "cancelled")

	a, _, err = newRealApp(t, requester)
	if code := a.run(t.Context(), command); code != exitRefused {
		t.Errorf("as a requester: exit code %d: %s", code, err)
	}
	contains(t, "message", err.String(), "role operator")
}

// keptBodies are those of the rejected requests, in their order, as the command shows them.
func keptBodies(t *testing.T, account config.Broker) (bodies []string, ids map[string]string) {
	t.Helper()
	a, out, err := newRealApp(t, account)
	if code := a.run(t.Context(), []string{"autopkgtest-cloud", "rejected", "--json"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, err)
	}
	var all []kept
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	ids = map[string]string{}
	for _, k := range all {
		bodies = append(bodies, k.Body)
		ids[k.Body] = k.ID
	}
	return bodies, ids
}

// TestRejectedForReal: an operator's rights, and no more, are enough to look at rejected requests, to put one back and to drop one;
// looking changes nothing.
func TestRejectedForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	const requests = "debci-noble-amd64"
	broker.DeclareQueue(t, requests)
	broker.DeclareQueue(t, queue.RejectedQueue)
	broker.DeclareFanout(t, queue.RejectedExchange, queue.RejectedQueue)
	operator := broker.User(t, "operator", `^amq\.gen-.*$`, `^(amq\.gen-.*|amq\.default|autopkgtest\.control)$`,
		`^(amq\.gen-.*|autopkgtest\.answers|rejected-requests)$`)
	admin, failed := queue.Dial(t.Context(), broker.Admin)
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() { _ = admin.Close() })
	if bodies, _ := keptBodies(t, operator); len(bodies) != 0 {
		t.Errorf("before there is any: %q", bodies)
	}
	want := []string{"green\n{", "blue\n{", "red\n{"}
	for _, body := range want {
		if err := rejection(body).PublishTo(t.Context(), admin); err != nil {
			t.Fatal(err)
		}
	}
	var ids map[string]string
	for range 3 {
		var bodies []string
		bodies, ids = keptBodies(t, operator)
		if diff := cmp.Diff(want, bodies); diff != "" {
			t.Fatalf("kept (-want +got):\n%s", diff)
		}
	}

	// What cannot be published stays.
	missing := rejection("yellow\n{")
	missing.Queue = "debci-noble-arm64"
	if err := missing.PublishTo(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	a, _, err := newRealApp(t, operator)
	line := []string{"autopkgtest-cloud", "rejected", "--requeue", missing.ID()}
	if code := a.run(t.Context(), line); code != exitUnavailable {
		t.Errorf("to a queue that is not there: exit code %d: %s", code, err)
	}
	contains(t, "message", err.String(), "still here", missing.Queue)

	a, out, err := newRealApp(t, operator)
	line = []string{"autopkgtest-cloud", "rejected", "--requeue", ids["blue\n{"], "--drop", ids["red\n{"]}
	if code := a.run(t.Context(), line); code != 0 {
		t.Fatalf("exit code %d: %s", code, err)
	}
	contains(t, "output", out.String(), ids["blue\n{"]+"  requeued", ids["red\n{"]+"  dropped")
	bodies, _ := keptBodies(t, operator)
	if diff := cmp.Diff([]string{"green\n{", "yellow\n{"}, bodies); diff != "" {
		t.Errorf("kept in the end (-want +got):\n%s", diff)
	}
	d, found, failed := admin.Get(t.Context(), requests)
	if failed != nil || !found || string(d.Body) != "blue\n{" {
		t.Errorf("put back: %t, %q, %v", found, d.Body, failed)
	}

	requester := broker.User(t, "requester", "", "^amq.default$", "")
	a, _, err = newRealApp(t, requester)
	if code := a.run(t.Context(), []string{"autopkgtest-cloud", "rejected"}); code != exitRefused {
		t.Errorf("as a requester: exit code %d: %s", code, err)
	}
	contains(t, "message", err.String(), "role operator")
}
