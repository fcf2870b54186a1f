//go:build component

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// serving is how long a killed process may take until the node serves again. The promise is 20 s on an idle machine; one
// that runs tests is not idle.
const serving = time.Minute

// nodeTest is a stack with a node of its own: these tests kill it and destroy its data.
type nodeTest struct {
	d        *host.Directory
	settings Settings
	i        Info
}

// TestServer is the life of one node, in order: a start takes seconds, so the parts share it.
func TestServer(t *testing.T) {
	t.Parallel()
	n := &nodeTest{d: hosttest.NewDirectory(t)}
	for _, part := range []struct {
		name string
		test func(*testing.T, *nodeTest)
	}{
		{"refuses what cannot work", refuses},
		{"finishes an interrupted start", interrupted},
		{"serves", serves},
		{"knows no guest", noGuest},
		{"does nothing when nothing is wrong", idempotent},
		{"comes back when killed", comesBack},
		{"says that it takes no messages", blocked},
		{"brings back a virtual host that stays down", vhostDown},
		{"keeps messages and passwords over a restart", keeps},
		{"survives the loss of what can be made again", repaired},
		{"replaces lost and exposed credentials of the administrator alone", lostCredentials},
		{"takes a new delivery timeout and another port", newSettings},
		{"begins anew when its data are gone", lostData},
		{"goes without a trace", withdrawn},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, n) }) {
			t.FailNow()
		}
	}
}

func refuses(t *testing.T, n *nodeTest) {
	if _, err := Apply(t.Context(), n.d, Settings{Reserve: 1 << 60}); !errors.Is(err, host.ErrNoSpace) {
		t.Errorf("with too little room: %v, want ErrNoSpace", err)
	}
	address, port, _ := n.d.AMQP()
	hosttest.RefusesTakenPort(t, address, port, n.apply)
}

func interrupted(t *testing.T, n *nodeTest) {
	hosttest.Interrupt(t, n.apply, 50*time.Millisecond, 500*time.Millisecond, 3*time.Second)
}

func serves(t *testing.T, n *nodeTest) {
	begin := time.Now()
	i, err := Apply(t.Context(), n.d, n.settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("serves after %s", time.Since(begin).Round(10*time.Millisecond))
	n.i = i
	if i.Problem != "" || i.DeliveryTimeout != DefaultDeliveryTimeout || i.Incarnation == "" {
		t.Errorf("Apply says %+v", i)
	}
	n.inspect(t, "")
	if !Runs(n.d, i.ManagementURL, i.CredentialsFile) || Runs(n.d, "http://127.0.0.1:15672", i.CredentialsFile) {
		t.Error("the node in the folder is taken for another one, or another one for it")
	}
	if err := n.knock("AMQP\x01\x01\x09\x01"); err != nil {
		t.Errorf("AMQP 0-8, which britney speaks: %v", err)
	}
	// Hashes of passwords and the messages are nobody else's business.
	if info, err := os.Stat(n.d.ServicePath(Service, "data")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data: %v, %v, want mode 0700", info, err)
	}
}

func noGuest(t *testing.T, n *nodeTest) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.i.ManagementURL+"/api/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("guest", "guest")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("guest over HTTP: %s, want 401 (%v)", answer.Status, err)
	}
	guest := config.Broker{Username: "guest", Password: "guest", Host: n.i.Host, Port: n.i.Port}
	var refused *amqp.Error
	if _, err := amqp.Dial(guest.URI().Reveal()); !errors.As(err, &refused) || refused.Code != amqp.AccessRefused {
		t.Errorf("guest over AMQP: %v, want 403", err)
	}
	if _, err := n.management(t).User(t.Context(), "guest"); !errors.Is(err, management.ErrNotFound) {
		t.Errorf("the user guest: %v, want ErrNotFound", err)
	}
}

func idempotent(t *testing.T, n *nodeTest) {
	before := n.pids(t)
	begin := time.Now()
	again, err := Apply(t.Context(), n.d, n.settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("an apply that changes nothing takes %s", time.Since(begin).Round(time.Millisecond))
	if again != n.i {
		t.Errorf("the second apply says %+v, the first said %+v", again, n.i)
	}
	if after := n.pids(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("processes before %v, after %v", before, after)
	}
}

const testQueue = "debci-noble-amd64"

// comesBack makes the queue while the process that notes decisions stands still, as it may for a moment on a busy machine:
// this is when a node that is killed forgets what it has confirmed.
func comesBack(t *testing.T, n *nodeTest) {
	n.eval(t, "sys:suspend(mnesia_recover).")
	m := n.management(t)
	if err := m.DeclareQueue(t.Context(), testQueue); err != nil {
		t.Fatal(err)
	}
	n.publish(t, 20)
	n.eval(t, "sys:resume(mnesia_recover).")
	m.SyncWith(func(ctx context.Context) error { return Sync(ctx, n.d) })
	if err := m.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, process := range []string{"rabbitmq-epmd", "rabbitmq"} {
		pid := n.pids(t)[process]
		victim, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		n.await(t, process+" is another process, and the node serves", func(ctx context.Context) error {
			if now := n.pids(t)[process]; now == pid || now == 0 {
				return fmt.Errorf("pid %d, was %d", now, pid)
			}
			return n.depth(ctx, 20)
		})
		t.Logf("%s serves %s after it was killed", process, time.Since(begin).Round(10*time.Millisecond))
	}
	// A node that cannot register with epmd cannot be reached by rabbitmqctl, which an apply needs.
	n.await(t, "the node is known to epmd", func(ctx context.Context) error {
		i := n.i
		got, err := Apply(ctx, n.d, n.settings)
		if err == nil && got != i {
			err = fmt.Errorf("Apply says %+v, said %+v", got, i)
		}
		return err
	})
}

func (n *nodeTest) eval(t *testing.T, expression string) {
	t.Helper()
	settings, err := n.settings.filled()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control(t.Context(), n.d, where(n.d, settings, n.i), nil, "eval", expression); err != nil {
		t.Fatal(err)
	}
}

// blocked is what publishers see as a publish that hangs.
func blocked(t *testing.T, n *nodeTest) {
	settings, err := n.settings.filled()
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []struct{ memory, says string }{{"0.0001", "takes no messages: "}, {"0.4", ""}} {
		node := where(n.d, settings, n.i)
		if _, err := control(t.Context(), n.d, node, nil, "set_vm_memory_high_watermark", limit.memory); err != nil {
			t.Fatal(err)
		}
		n.await(t, "the memory alarm", func(ctx context.Context) error {
			i, err := Inspect(ctx, n.d, n.settings)
			if err == nil && (!strings.Contains(i.Problem, limit.says) || limit.says == "" && i.Problem != "") {
				err = fmt.Errorf("the problem is %q, want %q", i.Problem, limit.says)
			}
			return err
		})
	}
}

// vhostDown ends what a virtual host consists of until the node gives it up, and goes on without it.
func vhostDown(t *testing.T, n *nodeTest) {
	n.eval(t, endVHost)
	if err := n.management(t).DeclareQueue(t.Context(), testQueue+"-late"); err == nil {
		t.Fatal("a queue can be declared: the virtual host still runs")
	}
	n.inspect(t, "the virtual host / does not run on "+nodeName)
	before := n.pids(t)
	i, err := Apply(t.Context(), n.d, n.settings)
	if err != nil {
		t.Fatal(err)
	}
	if now := n.pids(t); i != n.i || fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("Apply says %+v, said %+v; processes %v, were %v", i, n.i, now, before)
	}
	n.inspect(t, "")
	if err := n.depth(t.Context(), 20); err != nil {
		t.Error(err)
	}
	m := n.management(t)
	if err := errors.Join(m.DeclareQueue(t.Context(), testQueue+"-late"), m.DeleteQueue(t.Context(), testQueue+"-late", true)); err != nil {
		t.Error(err)
	}
}

// endVHost kills the message store again and again; a node starts it anew twice.
const endVHost = `
	Children = fun(Parent) -> case catch supervisor:which_children(Parent) of L when is_list(L) -> L; _ -> [] end end,
	End = fun Again(0) -> error(still_there);
		Again(Left) ->
			case rabbit_vhost_sup_sup:get_vhost_sup(<<"/">>) of
				{ok, Parent} ->
					[exit(Store, kill) || {msg_store_persistent, Store, _, _} <- Children(Parent), is_pid(Store)],
					timer:sleep(200), Again(Left - 1);
				_ ->
					timer:sleep(1000),
					case rabbit_vhost_sup_sup:is_vhost_alive(<<"/">>) of true -> Again(Left - 1); false -> down end
			end
		end,
	End(100).`

func keeps(t *testing.T, n *nodeTest) {
	m := n.management(t)
	for _, password := range []config.Secret{"First1", "Second2"} {
		user := management.User{Name: "britney", PasswordHash: management.HashPassword(password), Tags: []string{"management"}}
		if err := m.PutUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.d.Stop(t.Context(), Service); err != nil {
		t.Fatal(err)
	}
	n.inspect(t, "down")
	if _, err := Apply(t.Context(), n.d, n.settings); err != nil {
		t.Fatal(err)
	}
	if err := n.depth(t.Context(), 20); err != nil {
		t.Error(err)
	}
	n.login(t, "britney", "Second2", true)
	n.login(t, "britney", "First1", false)
}

func repaired(t *testing.T, n *nodeTest) {
	for _, lost := range []string{"etc", "service.json"} {
		if err := os.RemoveAll(n.d.ServicePath(Service, lost)); err != nil {
			t.Fatal(err)
		}
	}
	i, err := Inspect(t.Context(), n.d, n.settings)
	if err != nil || !i.Present || i.Problem == "" || i.Incarnation != n.i.Incarnation {
		t.Errorf("Inspect: %+v, %v", i, err)
	}
	if i, err = Apply(t.Context(), n.d, n.settings); err != nil || i != n.i {
		t.Fatalf("Apply: %+v, %v, said %+v", i, err, n.i)
	}
	if err := n.depth(t.Context(), 20); err != nil {
		t.Error(err)
	}
	n.inspect(t, "")
}

func lostCredentials(t *testing.T, n *nodeTest) {
	for name, lose := range map[string]func(path string) error{
		"gone":                          os.Remove,
		"can be read by other accounts": func(path string) error { return os.Chmod(path, 0o644) },
		"cannot be used":                func(path string) error { return os.Truncate(path, 3) },
		"admin cannot do its work":      nil,
	} {
		before, err := config.ReadBroker(n.i.CredentialsFile)
		if err != nil {
			t.Fatal(err)
		}
		if lose == nil {
			// Somebody else changed it in the broker: then the file is right.
			user := management.User{Name: "admin", PasswordHash: management.HashPassword("other"), Tags: []string{"administrator"}}
			err = n.management(t).PutUser(t.Context(), user)
		} else {
			err = lose(n.i.CredentialsFile)
		}
		if err != nil {
			t.Fatal(err)
		}
		n.inspect(t, name)
		i, err := Apply(t.Context(), n.d, n.settings)
		if err != nil {
			t.Fatal(err)
		}
		if i != n.i {
			t.Errorf("%s: Apply says %+v, said %+v", name, i, n.i)
		}
		after, err := config.ReadBroker(n.i.CredentialsFile)
		if err != nil {
			t.Fatal(err)
		}
		if rotated := after.Password != before.Password; rotated != (lose != nil) {
			t.Errorf("%s: a new password: %v", name, rotated)
		}
		n.login(t, "admin", after.Password, true)
		n.login(t, "admin", before.Password, lose == nil)
		n.login(t, "britney", "Second2", true)
		n.inspect(t, "")
	}
}

func newSettings(t *testing.T, n *nodeTest) {
	settings := Settings{DeliveryTimeout: 100 * time.Hour, Port: 5673}
	found, err := Inspect(t.Context(), n.d, settings)
	if err != nil || !strings.Contains(found.Problem, "rabbitmq.conf") || found.DeliveryTimeout != DefaultDeliveryTimeout {
		t.Errorf("Inspect before: %+v, %v", found, err)
	}
	before := n.pids(t)["rabbitmq-epmd"]
	if n.i, err = Apply(t.Context(), n.d, settings); err != nil {
		t.Fatal(err)
	}
	if n.i.DeliveryTimeout != settings.DeliveryTimeout || n.i.Port != 5673 || !strings.Contains(n.i.Warning, "britney") {
		t.Errorf("Apply says %+v", n.i)
	}
	if err := n.depth(t.Context(), 20); err != nil { // by the credentials file, which has the port
		t.Error(err)
	}
	if after := n.pids(t)["rabbitmq-epmd"]; after != before {
		t.Error("epmd was restarted for a setting that is none of its business")
	}
	n.settings = settings // a way back would be one more restart
}

func lostData(t *testing.T, n *nodeTest) {
	kept, err := config.ReadBroker(n.i.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	// Without a word, and while it runs.
	if err := os.RemoveAll(n.d.ServicePath(Service, "data")); err != nil {
		t.Fatal(err)
	}
	n.inspect(t, "users and queues")
	i, err := Apply(t.Context(), n.d, n.settings)
	if err != nil {
		t.Fatal(err)
	}
	if i.Incarnation == n.i.Incarnation || i.Incarnation == "" {
		t.Errorf("incarnation %q after %q", i.Incarnation, n.i.Incarnation)
	}
	n.i = i
	n.login(t, "admin", kept.Password, true)
	n.login(t, "britney", "Second2", false)
	if queues, err := n.management(t).Queues(t.Context()); err != nil || len(queues) != 0 {
		t.Errorf("queues after the loss: %v, %v", queues, err)
	}
	n.inspect(t, "")
}

func withdrawn(t *testing.T, n *nodeTest) {
	hosttest.Withdraw(t, n.d, Withdraw, n.d.ServicePath(Service), n.i.CredentialsFile)
	if i, err := Inspect(t.Context(), n.d, n.settings); err != nil || i.Present {
		t.Errorf("Inspect: %+v, %v", i, err)
	}
	if gone, err := n.d.Release(t.Context()); err != nil || !gone {
		t.Errorf("Release: %v, %v", gone, err)
	}
}

func (n *nodeTest) apply(ctx context.Context) error {
	_, err := Apply(ctx, n.d, n.settings)
	return err
}

func (n *nodeTest) pids(t *testing.T) map[string]int { return hosttest.PIDs(t, n.d, Service) }

// inspect wants a problem that says part, or none if part is empty.
func (n *nodeTest) inspect(t *testing.T, part string) {
	t.Helper()
	begin := time.Now()
	i, err := Inspect(t.Context(), n.d, n.settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Inspect after %s: %q", time.Since(begin).Round(time.Millisecond), i.Problem)
	if part == "" && i != n.i || part != "" && !strings.Contains(i.Problem, part) {
		t.Errorf("Inspect says %+v, want a problem with %q, else %+v", i, part, n.i)
	}
}

func (n *nodeTest) management(t *testing.T) *management.Client {
	t.Helper()
	administrator, err := config.ReadBroker(n.i.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	m, err := management.New(n.i.ManagementURL, administrator.Username, administrator.Password)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (n *nodeTest) login(t *testing.T, user string, password config.Secret, works bool) {
	t.Helper()
	m, err := management.New(n.i.ManagementURL, user, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Identity(t.Context()); works && err != nil || !works && !errors.Is(err, management.ErrDenied) {
		t.Errorf("login of %s works: want %v, got %v", user, works, err)
	}
}

func (n *nodeTest) channel() (*amqp.Channel, func() error, error) {
	administrator, err := config.ReadBroker(n.i.CredentialsFile)
	if err != nil {
		return nil, nil, err
	}
	connection, err := amqp.Dial(administrator.URI().Reveal())
	if err != nil {
		return nil, nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, nil, errors.Join(err, connection.Close())
	}
	return channel, connection.Close, nil
}

func (n *nodeTest) publish(t *testing.T, count int) {
	t.Helper()
	channel, done, err := n.channel()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for number := range count {
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(t.Context(), "", testQueue, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, "request ", number)})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirmation.WaitContext(t.Context()); err != nil || !ok {
			t.Fatalf("message %d: confirmed: %v, %v", number, ok, err)
		}
	}
}

// depth wants so many messages in the queue.
func (n *nodeTest) depth(_ context.Context, want int) error {
	channel, done, err := n.channel()
	if err != nil {
		return err
	}
	queue, err := channel.QueueDeclarePassive(testQueue, true, false, false, false, nil)
	if err == nil && queue.Messages != want {
		err = fmt.Errorf("%d messages in %s, want %d", queue.Messages, testQueue, want)
	}
	return errors.Join(err, done())
}

// knock sends a protocol header and wants the broker's first frame.
func (n *nodeTest) knock(header string) (err error) {
	connection, err := net.Dial("tcp", net.JoinHostPort(n.i.Host, strconv.Itoa(n.i.Port)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	if _, err := connection.Write([]byte(header)); err != nil {
		return err
	}
	frame := make([]byte, 13)
	if _, err := connection.Read(frame); err != nil {
		return err
	}
	if frame[0] != 1 {
		return fmt.Errorf("the broker answers %q", frame)
	}
	return nil
}

// await looks again and again; the process under test is another one, so there is nothing to wait on.
func (n *nodeTest) await(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	if err := n.d.WaitReady(t.Context(), what, "rabbitmq", serving, check); err != nil {
		t.Fatal(err)
	}
}
