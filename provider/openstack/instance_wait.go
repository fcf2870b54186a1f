package openstack

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// What can be waited for, beyond each other in this order.
const (
	// WaitActive is that the hypervisor runs the machine.
	WaitActive = "active"
	// WaitHostKey is that the machine has written its host keys to its console. That can be seen without a way to the machine.
	WaitHostKey = "host_key"
	// WaitSSH is that an ssh server answers.
	WaitSSH = "ssh"
	// WaitCloudInit is that cloud-init has done its work.
	WaitCloudInit = "cloud-init"
)

const (
	// tryPause is between two attempts at a machine that boots, and tryLimit bounds one.
	tryPause = 2 * time.Second
	tryLimit = 10 * time.Second
	// keyPatience is for how long the console may owe the host keys when ssh answers: cloud-init writes them in its last stage.
	keyPatience = 30 * time.Second
	// denialPatience is for how long a login may be refused: some images start sshd before cloud-init has put the key in place.
	denialPatience = time.Minute
	// logLimit bounds what is read of cloud-init's words, in bytes.
	logLimit = 64 << 10
)

// Wait is what is waited for, and how the machine is reached.
type Wait struct {
	// For is one of the Wait... words; empty is WaitActive.
	For string
	// Target is the machine. Without an address it is the instance's floating one, or else its fixed one; without a host key it is what
	// the console shows, or else what the known hosts say.
	Target machine.Target
	// Dial connects; see [machine.Pool.Machine].
	Dial func(context.Context, machine.Target, time.Duration) (*machine.Machine, error)
}

// AwaitInstance waits for as long as ctx allows. It returns the machine's host key, where one was asked for and is known. A failure
// says what was tried last and has the end of the console.
func (i *Inventory) AwaitInstance(ctx context.Context, made Made, w Wait) (hostKey string, err error) {
	t := &waiting{Inventory: i, made: made, Wait: w}
	t.Target.Address = cmp.Or(w.Target.Address, made.Floating, made.Address)
	t.Target.Port = cmp.Or(w.Target.Port, machine.DefaultPort)
	switch w.For {
	case WaitHostKey:
		err = t.awaitHostKey(ctx)
	case WaitSSH:
		if err = t.awaitSSH(ctx); err == nil {
			t.lookForHostKey(ctx)
		}
	case WaitCloudInit:
		if err = t.awaitSSH(ctx); err == nil {
			err = t.awaitCloudInit(ctx)
		}
	}
	if err != nil {
		return t.Target.HostKey, i.failure(ctx, made.ID, t.log, err)
	}
	return t.Target.HostKey, nil
}

// waiting is one wait for a machine.
type waiting struct {
	*Inventory
	Wait
	made Made
	log  string // what the machine itself has said of a failure
}

// until tries until there is no error, or one that says that it is no use, or ctx ends; then the last error counts. Between tries it
// looks whether the server still runs.
func (t *waiting) until(ctx context.Context, try func(context.Context) error) error {
	var err error
	for tries := 1; ; tries++ {
		limited, cancel := context.WithTimeout(ctx, tryLimit)
		before := err
		err = try(limited)
		cancel()
		if before != nil && ctx.Err() != nil && err != nil {
			return before // a try that was cut short says nothing
		}
		var last *final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &last):
			return last.err
		case tries%10 == 0:
			if failed := t.stillRuns(ctx); failed != nil && ctx.Err() == nil {
				return failed
			}
		}
		timer := time.NewTimer(tryPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// final is an error that does not get better.
type final struct{ err error }

// Error implements error.
func (f *final) Error() string { return f.err.Error() }

func (t *waiting) stillRuns(ctx context.Context) error {
	server, err := t.Server(ctx, t.made.ID)
	if errors.Is(err, cloud.ErrUnavailable) {
		return nil
	}
	if err != nil || server.Status == cloud.StatusActive || strings.Contains(server.Status, "REBOOT") {
		return err
	}
	return t.problem("stopped while it was waited for: it is "+server.Status, "see its console; the next attempt starts it again")
}

func (t *waiting) problem(cause, wayOut string) error {
	return t.NewError(cloud.ErrUnavailable, cloud.Compute, fmt.Sprintf("instance %s %s", t.made.ID, cause), wayOut)
}

func (t *waiting) awaitHostKey(ctx context.Context) error {
	if t.Target.HostKey != "" {
		return nil
	}
	return t.until(ctx, func(ctx context.Context) (err error) {
		if t.Target.HostKey, err = t.hostKey(ctx, t.made.ID); err != nil || t.Target.HostKey != "" {
			return err
		}
		return t.problem("shows no host keys on its console", "they are written by cloud-init, at the end of the "+
			"boot: if the machine needs longer, "+
			"give it more time; if its image has no cloud-init, or the cloud keeps no console, do not wait for it, "+
			"and say the key yourself")
	})
}

// lookForHostKey is for those who can do without.
func (t *waiting) lookForHostKey(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	_ = t.awaitHostKey(ctx)
}

func (t *waiting) place() string {
	return net.JoinHostPort(t.Target.Address, strconv.Itoa(t.Target.Port))
}

// awaitSSH waits for the words that an ssh server says first, so it needs no key.
func (t *waiting) awaitSSH(ctx context.Context) error {
	if t.Target.Address == "" {
		return t.problem("has no address", "its network has no subnet: make one, and replace the instance")
	}
	return t.until(ctx, func(ctx context.Context) error {
		err := greeted(ctx, t.place())
		if err == nil {
			return nil
		}
		return t.problem(fmt.Sprintf("does not answer ssh at %s: %v", t.place(), err), t.unreachable(err))
	})
}

// unreachable is what helps against silence, which a firewall makes, and against a refusal, which the machine makes itself.
func (t *waiting) unreachable(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errGreeting) {
		return "the machine is reached and has no sshd there: if it is still booting, give it more time; else its console says why"
	}
	ways := "is there a rule for tcp port " + strconv.Itoa(t.Target.Port) + " in one of its groups, and a route from " +
		"here to " + t.Target.Address + "?"
	if t.Target.Address == t.made.Address {
		ways += " A fixed address is reached from within the cloud only. A floating one comes after the instance, so wait for active or " +
			"host_key; what is put on the machine by ssh waits for it by itself"
	}
	return ways
}

// errGreeting: something answers, but not ssh; errSilence: it says nothing, as what stands between may do, or a machine that is stuck.
var (
	errGreeting = errors.New("who answers there is no ssh server")
	errSilence  = errors.New("it takes the connection and says nothing")
)

// greeted connects, and reads the first words. A server may say other lines before.
func greeted(ctx context.Context, place string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", place)
	if err != nil {
		return err
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	lines := bufio.NewScanner(io.LimitReader(connection, 4096))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "SSH-") {
			return nil
		}
	}
	if ctx.Err() != nil {
		return errSilence
	}
	return errGreeting
}

// cloudInitScript says how cloud-init ended, and what it has written last. It waits for the end.
const cloudInitScript = `if ! command -v cloud-init >/dev/null 2>&1; then echo 'status: absent'; exit 0; fi
cloud-init status --wait >/dev/null 2>&1
cloud-init status --long 2>&1
echo 'the end of its log:'
tail -n 20 /var/log/cloud-init-output.log 2>&1`

var cloudInitStatus = regexp.MustCompile(`(?m)^status: (\w+)`)

// awaitCloudInit logs in and asks. A machine that reboots meanwhile, as user data may say, is asked again.
func (t *waiting) awaitCloudInit(ctx context.Context) error {
	given := t.Target.HostKey != ""
	var denied time.Time
	whole := ctx // a try has a limit, and cloud-init has none
	return t.until(ctx, func(ctx context.Context) error {
		if !given && t.Target.HostKey == "" {
			t.Target.HostKey, _ = t.hostKey(ctx, t.made.ID) // where there is none, the known hosts may know it
		}
		there, err := t.Dial(ctx, t.Target, 0)
		if err == nil {
			var words string
			if words, err = told(whole, there); err == nil {
				return t.judged(words)
			}
		}
		failed := t.problem("cannot be asked how cloud-init does: "+err.Error(), "see the last sentence, and what the console says")
		switch {
		case errors.Is(err, machine.ErrDenied):
			if denied.IsZero() {
				denied = time.Now()
			}
			if time.Since(denied) > denialPatience {
				return &final{failed}
			}
		case errors.Is(err, machine.ErrHostKey) && t.Target.HostKey != "":
			return &final{failed}
		}
		return failed
	})
}

// told runs the script.
func told(ctx context.Context, there *machine.Machine) (string, error) {
	process, err := there.Start(io.Discard, "/bin/sh", "-c", cloudInitScript)
	if err != nil {
		return "", err
	}
	defer process.Close()
	defer context.AfterFunc(ctx, func() { _ = process.Close() })()
	words, err := io.ReadAll(io.LimitReader(process, logLimit))
	switch {
	case ctx.Err() != nil:
		return "", errors.New("it had not ended when the time was over")
	case err == nil && !cloudInitStatus.Match(words):
		err = errors.New("the connection ended before the answer")
	}
	return string(words), err
}

// judged is the error that cloud-init's words mean.
func (t *waiting) judged(words string) error {
	status := cloudInitStatus.FindStringSubmatch(words)[1]
	switch status {
	case "done":
		return nil
	case "absent":
		return &final{t.problem("has no cloud-init, which was to prepare it", "take an image that has it; or wait for "+
			"ssh, and prepare the machine otherwise")}
	case "disabled":
		return &final{t.problem("has cloud-init switched off: its user data were not obeyed", "take an image that "+
			"does not; see «cloud-init status --long» there")}
	case "error":
		t.log = endOf(words)
		return &final{t.problem("was not prepared: cloud-init has failed", "correct the user data, or what they need "+
			"(a mirror, a proxy), and replace the instance")}
	}
	return t.problem("is still being prepared by cloud-init: "+status, "give it more time")
}
