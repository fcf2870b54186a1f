package management

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestNewChecksItsAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ endpoint, want string }{
		"http":           {"http://127.0.0.1:15672", ""},
		"trailing slash": {"https://broker.example/", ""},
		"no scheme":      {"broker:15672", "write it as http://HOST:15672"},
		"empty":          {"", "write it as http://HOST:15672"},
		"credentials":    {"http://admin:topsecret@broker:15672", "credentials file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tc.endpoint, "admin", "pw")
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			case err != nil && strings.Contains(err.Error(), "topsecret"):
				t.Fatalf("the password is in the error: %v", err)
			}
		})
	}
}

func TestUserIsWrittenWhole(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := context.Background()
	password := config.Secret("abcDEF123")

	if err := m.PutUser(ctx, User{Name: "worker"}); !errors.Is(err, ErrNoPassword) {
		t.Fatalf("a user without a hash: got %v, want ErrNoPassword", err)
	}
	if err := m.PutUser(ctx, User{Name: "worker", PasswordHash: HashPassword(password)}); err != nil {
		t.Fatal(err)
	}
	got, err := m.User(ctx, "worker")
	if err != nil {
		t.Fatal(err)
	}
	if !got.HasPassword(password) {
		t.Error("the stored hash does not fit the password")
	}
	if got.HasPassword("another") {
		t.Error("the stored hash fits another password")
	}
	if len(got.Tags) != 0 {
		t.Errorf("an empty list of tags came back as %q", got.Tags)
	}
	for _, request := range fake.requests {
		if strings.Contains(request, password.Reveal()) {
			t.Errorf("the password itself was sent: %s", request)
		}
	}
	if err := m.DeleteUser(ctx, "worker"); err != nil {
		t.Fatal(err)
	}
	if err := m.DeleteUser(ctx, "worker"); err != nil {
		t.Fatalf("deleting what is gone: %v", err)
	}
	if _, err := m.User(ctx, "worker"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

// The hash was made by RabbitMQ 3.10.8 itself.
func TestHasPasswordReadsTheBrokersOwnHash(t *testing.T) {
	t.Parallel()
	const made = "7IiwCPG7m7+CObqUWU4Lm9ReZjc5MIjMef8mfCoivgGbLaDy" // of "abc"
	for name, tc := range map[string]struct {
		user     User
		password config.Secret
		want     bool
	}{
		"right":           {User{PasswordHash: made, Algorithm: "rabbit_password_hashing_sha256"}, "abc", true},
		"no algorithm":    {User{PasswordHash: made}, "abc", true},
		"wrong":           {User{PasswordHash: made}, "abd", false},
		"empty hash":      {User{}, "", false},
		"not base64":      {User{PasswordHash: "?"}, "abc", false},
		"only salt":       {User{PasswordHash: "7IiwCA=="}, "", false},
		"other algorithm": {User{PasswordHash: made, Algorithm: "rabbit_password_hashing_md5"}, "abc", false},
		"sha512 of other": {User{PasswordHash: made, Algorithm: "rabbit_password_hashing_sha512"}, "abc", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.user.HasPassword(tc.password); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := context.Background()
	want := Permissions{Configure: "^$", Write: `^amq\.default$`, Read: "^$"}

	err := m.PutPermissions(ctx, "nobody", want)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "vhost_or_user_not_found") {
		t.Fatalf("got %v, want ErrRefused with the broker's words", err)
	}
	if err := m.PutUser(ctx, User{Name: "britney", PasswordHash: HashPassword("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Permissions(ctx, "britney"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if err := m.PutPermissions(ctx, "britney", want); err != nil {
		t.Fatal(err)
	}
	got, err := m.Permissions(ctx, "britney")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(fake.requests, "\n"), "/api/permissions/%2F/britney") {
		t.Error("the virtual host was not escaped")
	}
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	_, m := newFakeBroker(t)
	ctx := context.Background()
	status := Fanouts[0]
	if status.Name != "teststatus.fanout" || status.Durable {
		t.Fatalf("the clients declare teststatus.fanout transient, got %+v", status)
	}
	if _, err := m.ExchangeIs(ctx, status); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	for range 2 {
		if err := m.DeclareExchange(ctx, status); err != nil {
			t.Fatal(err)
		}
	}
	if same, err := m.ExchangeIs(ctx, status); err != nil || !same {
		t.Fatalf("got %v, %v", same, err)
	}
	other := Exchange{Name: status.Name, Durable: true}
	if same, err := m.ExchangeIs(ctx, other); err != nil || same {
		t.Fatalf("another durability: got %v, %v", same, err)
	}
	if err := m.DeclareExchange(ctx, other); !errors.Is(err, ErrRefused) {
		t.Fatalf("got %v, want ErrRefused", err)
	}
	if err := m.DeleteExchange(ctx, status.Name); err != nil {
		t.Fatal(err)
	}
}

func TestBindings(t *testing.T) {
	t.Parallel()
	_, m := newFakeBroker(t)
	ctx := context.Background()
	if err := m.Bind(ctx, RejectedExchange, RejectedQueue); !errors.Is(err, ErrNotFound) {
		t.Fatalf("bound what is not there: %v", err)
	}
	if err := errors.Join(m.DeclareExchange(ctx, Exchange{RejectedExchange, true}), m.DeclareQueue(ctx, RejectedQueue)); err != nil {
		t.Fatal(err)
	}
	if bound, err := m.Bound(ctx, RejectedExchange, RejectedQueue); err != nil || bound {
		t.Fatalf("bound before: %v, %v", bound, err)
	}
	for range 2 {
		if err := m.Bind(ctx, RejectedExchange, RejectedQueue); err != nil {
			t.Fatal(err)
		}
	}
	if bound, err := m.Bound(ctx, RejectedExchange, RejectedQueue); err != nil || !bound {
		t.Fatalf("bound: %v, %v", bound, err)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	ctx := context.Background()
	for _, name := range []string{"debci-noble-amd64", "debci-huge-noble-amd64"} {
		if err := m.DeclareQueue(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	fake.queues["debci-noble-amd64"]["messages"] = 3
	fake.queues["other"] = map[string]any{"name": "other", "durable": true, "arguments": map[string]any{"x-max-priority": 3}}
	got, err := m.Queues(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Queue{
		"debci-noble-amd64":      {Name: "debci-noble-amd64", Plain: true, Messages: 3},
		"debci-huge-noble-amd64": {Name: "debci-huge-noble-amd64", Plain: true},
		"other":                  {Name: "other", Plain: false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := m.DeleteQueue(ctx, "debci-noble-amd64", true); !errors.Is(err, ErrRefused) {
		t.Errorf("deleting a queue with requests: got %v, want ErrRefused", err)
	}
	if err := m.DeleteQueue(ctx, "debci-noble-amd64", false); err != nil {
		t.Errorf("deleting it on purpose: %v", err)
	}
	if err := m.DeleteQueue(ctx, "debci-noble-amd64", true); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

func TestErrorsSayWhatAndAsWhom(t *testing.T) {
	t.Parallel()
	fake, _ := newFakeBroker(t)
	ctx := context.Background()
	m, err := New(fake.URL, "mallory", "guessed-secret")
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.User(ctx, "a/b")
	if !errors.Is(err, ErrDenied) {
		t.Fatalf("got %v, want ErrDenied", err)
	}
	for _, part := range []string{"GET /api/users/a%2Fb", "401", "Login failed", `"mallory"`, fake.URL} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "guessed-secret") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{
		"until it answers": http.StatusServiceUnavailable, "until it has put its pages up": http.StatusNotFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, m := newFakeBroker(t)
			fake.failWith = status
			fake.afterwards = 2 // refused twice, then it serves
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := m.Await(ctx); err != nil {
				t.Fatal(err)
			}
			if len(fake.requests) != 3 {
				t.Errorf("it took %d requests, want 3", len(fake.requests))
			}
		})
	}
	t.Run("not for wrong credentials", func(t *testing.T) {
		t.Parallel()
		fake, _ := newFakeBroker(t)
		m, _ := New(fake.URL, "admin", "wrong")
		if err := m.Await(context.Background()); !errors.Is(err, ErrDenied) {
			t.Fatalf("got %v, want ErrDenied", err)
		}
	})
	t.Run("not for ever", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		_ = listener.Close()
		m, _ := New("http://"+address, "admin", "x")
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		err = m.Await(ctx)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), address) {
			t.Fatalf("got %v, want ErrUnavailable that names %s", err, address)
		}
	})
}

func TestAProxysPageIsAnError(t *testing.T) {
	t.Parallel()
	fake, m := newFakeBroker(t)
	fake.failWith = http.StatusBadGateway
	if _, err := m.Queues(context.Background()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	fake.failWith = http.StatusNonAuthoritativeInfo
	_, err := m.Queues(context.Background())
	var typed *Error
	if !errors.As(err, &typed) || errors.Is(err, ErrUnavailable) {
		t.Fatalf("an answer that is no JSON: got %v, want an *Error that is not retried", err)
	}
}
