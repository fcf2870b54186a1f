//go:build e2e

package examples

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// rotationLimit is the promise: from the begin of the apply until both users work.
const rotationLimit = 3 * time.Second

// requestsPerSecond is the load during a rotation.
const requestsPerSecond = 200

// publisher sends requests at a steady pace, with confirms, always with the credentials that its file had when it looked last.
type publisher struct {
	file, queue string
	stopped     chan struct{}
	all         sync.WaitGroup

	mu     sync.Mutex
	sent   map[string]int // by user of the broker
	failed []error
}

func startPublisher(t *testing.T, file, queueName string) *publisher {
	t.Helper()
	p := &publisher{file: file, queue: queueName, stopped: make(chan struct{}), sent: map[string]int{}}
	ready := make(chan struct{})
	p.all.Go(func() { p.run(ready) })
	<-ready
	return p
}

func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, err)
}

func (p *publisher) run(ready chan<- struct{}) {
	ctx := context.Background()
	var account config.Broker
	var session *queue.Session
	var sessions []*queue.Session // the old one has requests under way when the new one begins
	defer func() {
		for _, s := range sessions {
			_ = s.Close()
		}
	}()
	var publishing sync.WaitGroup
	defer publishing.Wait()
	tick := time.NewTicker(time.Second / requestsPerSecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%10 == 0 {
			found, err := config.ReadBroker(p.file)
			if err == nil && found != account {
				account = found
				if session, err = queue.Dial(ctx, account); err == nil {
					sessions = append(sessions, session)
				}
			}
			if err != nil {
				p.fail(err)
			}
		}
		if n == 0 {
			close(ready)
		}
		select {
		case <-p.stopped:
			return
		case <-tick.C:
		}
		with, user := session, account.Username
		publishing.Go(func() {
			err := with.Publish(ctx, "", p.queue, fmt.Appendf(nil, "gzip\n{\"triggers\": [\"gzip/%d\"]}", n), true)
			if err != nil {
				p.fail(fmt.Errorf("as %s: %w", user, err))
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sent[user]++
		})
	}
}

// users are those with which requests were sent until now.
func (p *publisher) confirmed(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[user]
}

func (p *publisher) stop() {
	close(p.stopped)
	p.all.Wait()
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

func worksNow(account config.Broker) error {
	session, err := queue.Dial(context.Background(), account)
	if err != nil {
		return err
	}
	return session.Close()
}

// TestRotateRequester rotates while requests are sent with the old and then with the new credentials: none is lost, none refused.
func TestRotateRequester(t *testing.T) {
	directory := newStack(t)
	base := []string{"-var=stack=rotate", "-var=directory=" + directory}
	c := newCLI(t, base...)
	c.copyExample("rotate-requester")
	c.run("apply")
	c.planIsEmpty()
	file := c.output("credentials_file")
	read := func() config.Broker {
		t.Helper()
		account, err := config.ReadBroker(file)
		if err != nil {
			t.Fatal(err)
		}
		return account
	}
	secrets := passwordsOf(t, directory)
	said := ""

	first := read()
	p := startPublisher(t, file, "debci-noble-amd64")
	await(t, "requests with the old credentials", func() bool { return p.confirmed("requester") > requestsPerSecond })
	began := time.Now()
	rotated := make(chan time.Duration, 1)
	go func() { // until the file has another user that works
		for time.Since(began) < time.Minute {
			account, err := config.ReadBroker(file)
			if err == nil && account != first && worksNow(account) == nil && worksNow(first) == nil {
				rotated <- time.Since(began)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		rotated <- time.Minute
	}()
	said += c.run("apply", "-var=rotation=2026-11")
	whole, both := time.Since(began), <-rotated
	await(t, "requests with the new credentials", func() bool { return p.confirmed("requester-2026-11") > requestsPerSecond })
	p.stop()
	second := read()
	secrets = append(secrets, passwordsOf(t, directory)...)
	total := p.confirmed("requester") + p.confirmed("requester-2026-11")
	t.Logf("rotation: both users worked after %s, %.2f of the promised %s; the whole apply took %s; %d requests, %d of them with the "+
		"new credentials", both.Round(time.Millisecond), both.Seconds()/rotationLimit.Seconds(), rotationLimit,
		whole.Round(time.Millisecond), total, p.confirmed("requester-2026-11"))
	if len(p.failed) > 0 {
		t.Errorf("%d requests were refused or lost, the first: %v", len(p.failed), p.failed[0])
	}
	administrator, err := config.ReadBroker(c.output("administrator_credentials_file"))
	if err != nil {
		t.Fatal(err)
	}
	session, err := queue.Dial(t.Context(), administrator)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if ready, _, err := session.Depth(t.Context(), "debci-noble-amd64"); err != nil || ready != total {
		t.Errorf("%d requests in the queue, %d were confirmed; %v", ready, total, err)
	}
	c.args = append(base, "-var=rotation=2026-11")
	c.planIsEmpty()

	// From the command line: Terraform finds what it did, and undoes nothing.
	command := func(arguments ...string) string {
		t.Helper()
		arguments = append(arguments, "--management-url", c.output("management_url"),
			"--administrator", c.output("administrator_credentials_file"))
		out, err := exec.Command(program(t, "autopkgtest-cloud"), arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("autopkgtest-cloud %s: %v\n%s", arguments[0], err, out)
		}
		said += string(out)
		return string(out)
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	command("rotate", "requester")
	third := read()
	secrets = append(secrets, passwordsOf(t, directory)...)
	if third.Username != "requester-2026-11~1" {
		t.Errorf("the file holds %s", third.Username)
	}
	for name, account := range map[string]config.Broker{"the first": first, "the second": second, "the third": third} {
		if err := worksNow(account); err != nil {
			t.Errorf("%s credentials, within their grace: %v", name, err)
		}
	}
	if after, err := os.Stat(file); err != nil || after.Mode() != before.Mode() || fmt.Sprint(owner(after)) != fmt.Sprint(owner(before)) {
		t.Errorf("the file's owner or mode changed: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "ADT_AMQP = amqp://requester-2026-11~1:") {
		t.Errorf("britney could not include the file: %v", err)
	}
	c.planIsEmpty()
	loseState(t, c)
	if read() != third {
		t.Error("a lost state undid what the command had done")
	}
	if out := command("expire"); out != "" {
		t.Errorf("nothing was due, and expire says:\n%s", out)
	}

	// It has leaked.
	held, err := queue.Dial(t.Context(), third)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	out := command("--json", "rotate", "requester", "--revoke-now")
	var done struct {
		User string
		Old  []struct {
			User    string
			Removed bool
		}
	}
	if err := json.Unmarshal([]byte(out), &done); err != nil || done.User != "requester-2026-11~2" || len(done.Old) != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	for name, account := range map[string]config.Broker{"the first": first, "the second": second, "the third": third} {
		if err := worksNow(account); !errors.Is(err, queue.ErrRefused) {
			t.Errorf("%s credentials after they were revoked: %v", name, err)
		}
	}
	select {
	case <-held.Done():
	case <-time.After(10 * time.Second):
		t.Error("a connection with revoked credentials lives on")
	}
	c.planIsEmpty()

	// The next word goes on from there, and with no grace it revokes.
	fourth := read()
	c.args = append(base, "-var=rotation=2026-12", "-var=grace=0s")
	said += c.run("apply")
	if got := read().Username; got != "requester-2026-12" {
		t.Errorf("the file holds %s", got)
	}
	if err := worksNow(fourth); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("the old credentials after a rotation without grace: %v", err)
	}
	// The job beside the broker removes what no apply comes to remove.
	fifth := read()
	c.args = append(base, "-var=rotation=2027-01", "-var=grace=1s")
	said += c.run("apply")
	await(t, "the old user is gone", func() bool { return errors.Is(worksNow(fifth), queue.ErrRefused) })
	c.planIsEmpty()
	secrets = append(secrets, passwordsOf(t, directory)...)
	holdNone(t, secrets, map[string]string{"what was said": said, "the state": c.run("state", "pull")})
	c.run("destroy")
	nothingIsLeft(t, directory)
}

func owner(info os.FileInfo) [2]uint32 {
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}
