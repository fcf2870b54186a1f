//go:build component

package swift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// serving is how long a killed process may take until the store serves again. The promise is 5 s on an idle machine; one
// that runs tests is not idle. It is less than the minute for which Swift may ignore a server that has failed.
const serving = 45 * time.Second

// listed is how long a listing may lack an object that the updater has to enter: two of its sweeps, on a busy machine.
const listed = 2 * time.Minute

// storeTest is a stack with a store of its own: these tests kill it and destroy its data.
type storeTest struct {
	d *host.Directory
	i Info
}

// TestStore is the life of one store, in order.
func TestStore(t *testing.T) {
	t.Parallel()
	s := &storeTest{d: hosttest.NewDirectory(t)}
	for _, part := range []struct {
		name string
		test func(*testing.T, *storeTest)
	}{
		{"refuses what cannot work", refuses},
		{"finishes an interrupted start", interrupted},
		{"serves", serves},
		{"lets strangers read what is public", public},
		{"has a ring that Swift reads", ringIsReadable},
		{"does nothing when nothing is wrong", idempotent},
		{"comes back when killed", comesBack},
		{"lists what was stored while the container server was down", updates},
		{"replaces lost and exposed credentials", lostCredentials},
		{"repairs what was deleted around the data", repairs},
		{"never opens data whose name is lost", nameless},
		{"begins anew when its data are gone", lostData},
		{"goes without a trace", withdrawn},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, s) }) {
			t.FailNow()
		}
	}
}

func refuses(t *testing.T, s *storeTest) {
	if _, err := Apply(t.Context(), s.d, Settings{Reserve: 1 << 60}); !errors.Is(err, host.ErrNoSpace) {
		t.Errorf("with too little room: %v, want ErrNoSpace", err)
	}
	port := s.d.Port(host.RoleSwiftObject)
	hosttest.RefusesTakenPort(t, "127.0.0.1", port, s.apply)
}

func interrupted(t *testing.T, s *storeTest) {
	hosttest.Interrupt(t, s.apply, 20*time.Millisecond, 300*time.Millisecond)
}

func serves(t *testing.T, s *storeTest) {
	begin := time.Now()
	var err error
	if s.i, err = Apply(t.Context(), s.d, Settings{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("serves after %s", time.Since(begin).Round(10*time.Millisecond))
	if s.i.Problem != "" || s.i.Incarnation == "" {
		t.Errorf("Apply says %+v", s.i)
	}
	s.inspect(t, "")
	if info, err := os.Stat(s.d.ServicePath(Service, "data", device)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data: %v, %v, want mode 0700", info, err)
	}
}

const (
	object = "/autopkgtest-noble/noble/amd64/g/green/20261122_012127_00000@/result.tar"
	result = "a result"
)

func public(t *testing.T, s *storeTest) {
	token := s.token(t)
	s.expect(t, http.MethodPut, "/autopkgtest-noble", token, http.StatusCreated)
	if got := s.header(t, "/autopkgtest-noble", token, "X-Storage-Policy"); got != "results" {
		t.Errorf("storage policy %q: Swift reads another swift.conf than ours", got)
	}
	s.expect(t, http.MethodPut, "/private-noble", token, http.StatusCreated)
	s.expect(t, http.MethodPut, object, token, http.StatusCreated)
	s.expect(t, http.MethodPut, strings.Replace(object, "autopkgtest-noble", "private-noble", 1), token, http.StatusCreated)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, object, http.StatusOK},
		{http.MethodGet, "/autopkgtest-noble?prefix=noble/amd64/g/green/&delimiter=@", http.StatusOK},
		{http.MethodGet, "/autopkgtest-noble/nothing", http.StatusNotFound},
		{http.MethodPut, object, http.StatusUnauthorized},
		{http.MethodDelete, object, http.StatusUnauthorized},
		{http.MethodPut, "/new", http.StatusUnauthorized},
		{http.MethodGet, "", http.StatusUnauthorized},
		{http.MethodGet, "/private-noble", http.StatusUnauthorized},
		{http.MethodGet, strings.Replace(object, "autopkgtest-noble", "private-noble", 1), http.StatusUnauthorized},
	} {
		s.expect(t, test.method, test.path, "", test.status)
	}
}

func ringIsReadable(t *testing.T, s *storeTest) {
	const program = `
import sys
from swift.common.ring import Ring
ring = Ring(sys.argv[1], ring_name=sys.argv[2])
node, = ring.get_nodes("AUTH_autopkgtest", "container", "object")[1]
print(ring.partition_count, ring.replica_count, node["ip"], node["port"], node["device"])
`
	for name, role := range map[string]host.Role{
		"account": host.RoleSwiftAccount, "container": host.RoleSwiftContainer, "object": host.RoleSwiftObject,
	} {
		out, err := exec.CommandContext(t.Context(), python, "-c", program, s.d.ServicePath(Service, "etc"), name).CombinedOutput()
		want := fmt.Sprintf("16 1.0 127.0.0.1 %d d1\n", s.d.Port(role))
		if err != nil || string(out) != want {
			t.Errorf("Swift's reader says of the %s ring %q, %v, want %q", name, out, err, want)
		}
	}
}

func idempotent(t *testing.T, s *storeTest) {
	before := s.pids(t)
	begin := time.Now()
	again, err := Apply(t.Context(), s.d, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("an apply that changes nothing takes %s", time.Since(begin).Round(time.Millisecond))
	if again != s.i {
		t.Errorf("the second apply says %+v, the first said %+v", again, s.i)
	}
	if diff := cmp.Diff(before, s.pids(t)); diff != "" {
		t.Errorf("processes (-before +after):\n%s", diff)
	}
}

// comesBack has traffic all the while: without any, Swift does not notice that a server is gone, and does not remember.
func comesBack(t *testing.T, s *storeTest) {
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				_, _, _ = s.do(ctx, http.MethodGet, object, "")
				<-tick.C
			}
		})
	}
	defer readers.Wait()
	defer cancel()
	for _, process := range slices.Sorted(maps.Keys(s.pids(t))) {
		pid := s.pids(t)[process]
		begin := time.Now()
		kill(t, pid)
		s.await(t, process, serving, func(ctx context.Context) error {
			if now := s.pids(t)[process]; now == pid || now == 0 {
				return fmt.Errorf("pid %d, was %d", now, pid)
			}
			return s.works(ctx)
		})
		t.Logf("serves %s after %s was killed", time.Since(begin).Round(10*time.Millisecond), process)
	}
}

// works uses every server: a login, an upload, an anonymous listing and an anonymous download.
func (s *storeTest) works(ctx context.Context) error {
	c, err := config.ReadStore(s.i.CredentialsFile)
	if err != nil {
		return err
	}
	token, err := logIn(ctx, c)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		method, path, token string
		want                int
	}{
		{http.MethodPut, object, token, http.StatusCreated},
		{http.MethodGet, "/autopkgtest-noble?prefix=noble/", "", http.StatusOK},
		{http.MethodGet, object, "", http.StatusOK},
	} {
		if got, _, err := s.do(ctx, step.method, step.path, step.token); err != nil || got != step.want {
			return fmt.Errorf("%s %s: %d, %w, want %d", step.method, step.path, got, err, step.want)
		}
	}
	return nil
}

// updates needs the object updater: the listing learns of the object only through it.
func updates(t *testing.T, s *storeTest) {
	token := s.token(t)
	s.expect(t, http.MethodHead, "/autopkgtest-noble", token, http.StatusNoContent) // into the proxy's cache
	s.supervisor(t, "down", "swift-container")
	s.expect(t, http.MethodPut, "/autopkgtest-noble/late", token, http.StatusCreated)
	if pending, err := os.ReadDir(s.d.ServicePath(Service, "data", device, "async_pending")); err != nil || len(pending) == 0 {
		t.Errorf("nothing waits for the updater: %v, %v", pending, err)
	}
	s.supervisor(t, "up", "swift-container")
	begin := time.Now()
	s.await(t, "swift-object-updater", listed, func(ctx context.Context) error {
		status, body, err := s.do(ctx, http.MethodGet, "/autopkgtest-noble?prefix=late", "")
		if err == nil && (status != http.StatusOK || !strings.Contains(body, "late")) {
			err = fmt.Errorf("status %d, listing %q", status, body)
		}
		return err
	})
	t.Logf("listed %s after the container server came back", time.Since(begin).Round(10*time.Millisecond))
	s.inspect(t, "")
}

func lostCredentials(t *testing.T, s *storeTest) {
	for name, lose := range map[string]func(path string) error{
		"gone":                          os.Remove,
		"can be read by other accounts": func(path string) error { return os.Chmod(path, 0o640) },
	} {
		before, err := config.ReadStore(s.i.CredentialsFile)
		if err != nil {
			t.Fatal(err)
		}
		pids := s.pids(t)
		if err := lose(s.i.CredentialsFile); err != nil {
			t.Fatal(err)
		}
		s.inspect(t, name)
		if i, err := Apply(t.Context(), s.d, Settings{}); err != nil || i != s.i {
			t.Fatalf("%s: Apply says %+v, %v, said %+v", name, i, err, s.i)
		}
		after, err := config.ReadStore(s.i.CredentialsFile)
		if err != nil || after.Password == before.Password {
			t.Errorf("%s: no new password (%v)", name, err)
		}
		if _, err := logIn(t.Context(), after); err != nil {
			t.Errorf("%s: with the new password: %v", name, err)
		}
		if _, err := logIn(t.Context(), before); err == nil {
			t.Errorf("%s: the old password still opens the store", name)
		}
		now := s.pids(t)
		delete(pids, "swift-proxy")
		delete(now, "swift-proxy")
		if diff := cmp.Diff(pids, now); diff != "" {
			t.Errorf("%s: more than the proxy was restarted (-before +after):\n%s", name, diff)
		}
		s.expect(t, http.MethodGet, object, "", http.StatusOK)
		s.inspect(t, "")
	}
}

func repairs(t *testing.T, s *storeTest) {
	for lost, says := range map[string]string{"etc": "is gone", incarnationFile: "is gone", "service.json": "never finished"} {
		if err := os.RemoveAll(s.d.ServicePath(Service, lost)); err != nil {
			t.Fatal(err)
		}
		s.inspect(t, says)
		if i, err := Apply(t.Context(), s.d, Settings{}); err != nil || i != s.i {
			t.Fatalf("%s: Apply says %+v, %v, said %+v", lost, i, err, s.i)
		}
		s.expect(t, http.MethodGet, object, "", http.StatusOK)
		s.inspect(t, "")
	}
}

func nameless(t *testing.T, s *storeTest) {
	for _, lost := range []string{"etc/swift.conf", incarnationFile} {
		if err := os.Rename(s.d.ServicePath(Service, lost), s.d.ServicePath(Service, "kept-"+lost[len(lost)-4:])); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Apply(t.Context(), s.d, Settings{})
	if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "Restore") {
		t.Errorf("Apply: %v, want an error with a way out: it would hide every object that is there", err)
	}
	for _, lost := range []string{"etc/swift.conf", incarnationFile} {
		if err := os.Rename(s.d.ServicePath(Service, "kept-"+lost[len(lost)-4:]), s.d.ServicePath(Service, lost)); err != nil {
			t.Fatal(err)
		}
	}
	s.inspect(t, "")
}

func lostData(t *testing.T, s *storeTest) {
	kept, err := config.ReadStore(s.i.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	// Without a word, and while it runs.
	if err := os.RemoveAll(s.d.ServicePath(Service, "data")); err != nil {
		t.Fatal(err)
	}
	s.inspect(t, "results")
	i, err := Apply(t.Context(), s.d, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if i.Incarnation == s.i.Incarnation || i.Incarnation == "" {
		t.Errorf("incarnation %q after %q", i.Incarnation, s.i.Incarnation)
	}
	s.i = i
	if _, err := logIn(t.Context(), kept); err != nil {
		t.Errorf("with the password that was not lost: %v", err)
	}
	s.expect(t, http.MethodGet, object, "", http.StatusUnauthorized) // there is no such container, nor its permissions
	token := s.token(t)
	s.expect(t, http.MethodPut, "/autopkgtest-noble", token, http.StatusCreated)
	s.expect(t, http.MethodPut, object, token, http.StatusCreated)
	s.inspect(t, "")
}

func withdrawn(t *testing.T, s *storeTest) {
	hosttest.Withdraw(t, s.d, Withdraw, s.d.ServicePath(Service), s.i.CredentialsFile)
	if i, err := Inspect(t.Context(), s.d, Settings{}); err != nil || i.Present {
		t.Errorf("Inspect: %+v, %v", i, err)
	}
	if gone, err := s.d.Release(t.Context()); err != nil || !gone {
		t.Errorf("Release: %v, %v", gone, err)
	}
}

func (s *storeTest) apply(ctx context.Context) error {
	_, err := Apply(ctx, s.d, Settings{})
	return err
}

func (s *storeTest) pids(t *testing.T) map[string]int { return hosttest.PIDs(t, s.d, Service) }

// inspect wants a problem that says part, or none if part is empty.
func (s *storeTest) inspect(t *testing.T, part string) {
	t.Helper()
	begin := time.Now()
	i, err := Inspect(t.Context(), s.d, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Inspect after %s: %q", time.Since(begin).Round(time.Millisecond), i.Problem)
	if part == "" && i != s.i || part != "" && !strings.Contains(i.Problem, part) {
		t.Errorf("Inspect says %+v, want a problem with %q, else %+v", i, part, s.i)
	}
}

func (s *storeTest) await(t *testing.T, process string, limit time.Duration, check func(context.Context) error) {
	t.Helper()
	if err := s.d.WaitReady(t.Context(), "the store", process, limit, check); err != nil {
		t.Fatal(err)
	}
}

func (s *storeTest) supervisor(t *testing.T, verb, process string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sv", "-w", "20", verb, s.d.Path("sv", process)).CombinedOutput()
	if err != nil {
		t.Fatalf("sv %s %s: %v: %s", verb, process, err, out)
	}
}

// token logs in as the worker does.
func (s *storeTest) token(t *testing.T) string {
	t.Helper()
	c, err := config.ReadStore(s.i.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	token, err := logIn(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *storeTest) expect(t *testing.T, method, path, token string, want int) {
	t.Helper()
	got, body, err := s.do(t.Context(), method, path, token)
	if err != nil || got != want {
		t.Errorf("%s %s: %d, %v, want %d", method, path, got, err, want)
	}
	if method == http.MethodGet && path == object && got == http.StatusOK && body != result {
		t.Errorf("%s holds %q, want %q", path, body, result)
	}
}

func (s *storeTest) header(t *testing.T, path, token, name string) string {
	t.Helper()
	answer, err := call(t.Context(), s.i.StorageURL+path, http.Header{"X-Auth-Token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	return answer.header.Get(name)
}

// do makes public what is called autopkgtest-, as the contract of the store has it.
func (s *storeTest) do(ctx context.Context, method, path, token string) (int, string, error) {
	var body io.Reader
	if method == http.MethodPut {
		body = strings.NewReader(result)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.i.StorageURL+path, body)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("X-Auth-Token", token)
	}
	if strings.HasPrefix(path, "/autopkgtest-") && strings.Count(path, "/") == 1 {
		request.Header.Set("X-Container-Read", ".rlistings,.r:*")
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func kill(t *testing.T, pid int) {
	t.Helper()
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}
