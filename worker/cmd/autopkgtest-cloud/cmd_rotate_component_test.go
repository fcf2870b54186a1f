//go:build component

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// rotatable is a user as autopkgtest_broker_user makes it, in a folder with the administrator's credentials.
type rotatable struct {
	*fixture
	client  *management.Client
	account config.Broker
	file    string
	flags   []string
}

func newRotatable(t *testing.T) *rotatable {
	t.Helper()
	admin := queuetest.New(t).Admin
	admin.VHost = "/"
	address, err := url.Parse(os.Getenv("AUTOPKGTEST_TEST_MANAGEMENT"))
	if err != nil {
		t.Fatal(err)
	}
	address.User = nil
	r := &rotatable{fixture: newFixture(t, nil), account: admin}
	r.app.dial, r.app.now = newApp().dial, time.Now
	if r.client, err = management.New(address.String(), admin.Username, admin.Password); err != nil {
		t.Fatal(err)
	}
	r.account.Username, r.account.Password = "u"+strings.ToLower(rand.Text()[:8]), config.Secret("hunter2hunter2")
	folder := t.TempDir()
	r.file = filepath.Join(folder, r.account.Username)
	r.write(t, r.file, string(r.account.File(config.KeyGatekeeper)))
	r.write(t, filepath.Join(folder, "admin"), string(admin.File(config.KeyURI)))
	r.flags = []string{"--management-url", address.String(), "--administrator", filepath.Join(folder, "admin")}
	user := management.User{Name: r.account.Username, PasswordHash: management.HashPassword(r.account.Password), Tags: management.OurTags}
	if err := errors.Join(r.client.PutUser(t.Context(), user),
		r.client.PutPermissions(t.Context(), user.Name, management.Requester.Permissions())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		family, err := r.client.Family(ctx, user.Name)
		for _, m := range family.Members {
			err = errors.Join(err, r.client.DeleteUser(ctx, m.Name()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rotatable) rotate(t *testing.T, code int, more ...string) {
	t.Helper()
	r.run(t, code, append(append([]string{"autopkgtest-cloud", "rotate", r.account.Username}, r.flags...), more...)...)
}

func (r *rotatable) held(t *testing.T) config.Broker {
	t.Helper()
	account, err := config.ReadBroker(r.file)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func (r *rotatable) works(t *testing.T, account config.Broker) bool {
	t.Helper()
	session, err := queue.Dial(t.Context(), account)
	if err != nil {
		if !errors.Is(err, queue.ErrRefused) {
			t.Fatal(err)
		}
		return false
	}
	return session.Close() == nil
}

func TestRotateGivesAnEnd(t *testing.T) {
	t.Parallel()
	r := newRotatable(t)
	r.write(t, config.ShellFile(r.file), string(r.account.File(config.ShellKey(config.KeyGatekeeper))))
	r.rotate(t, 0, "--grace", "1s")
	next := r.held(t)
	sourced, err := exec.Command("sh", "-c", `. "$1" && printf %s "$ADT_AMQP"`, "sh", config.ShellFile(r.file)).Output()
	if err != nil || string(sourced) != next.URI().Reveal() {
		t.Errorf("a shell reads other credentials: %v", err)
	}
	contains(t, "the output", r.out.String(), "now holds the credentials of "+r.account.Username+"~1", r.account.Username+" goes at ")
	if next.Username != r.account.Username+"~1" || !r.works(t, next) {
		t.Errorf("the file holds %s", next.Username)
	}
	may, err := r.client.Permissions(t.Context(), next.Username)
	if err != nil || may != management.Requester.Permissions() {
		t.Errorf("it may %v, %v", may, err)
	}
	queuetest.Eventually(t, "its end has come and expire removes it", func() bool {
		r.run(t, 0, append([]string{"autopkgtest-cloud", "expire"}, r.flags...)...)
		return !r.works(t, r.account)
	})
	if !r.works(t, next) {
		t.Error("the new one is gone, too")
	}
}

// TestRotateOfAnUpstreamWorker: it holds its connection while tests run, so its old user goes by the clock only if one says so.
func TestRotateOfAnUpstreamWorker(t *testing.T) {
	t.Parallel()
	r := newRotatable(t)
	if err := r.client.PutPermissions(t.Context(), r.account.Username, management.UpstreamWorker.Permissions()); err != nil {
		t.Fatal(err)
	}
	r.rotate(t, 0)
	contains(t, "the output", r.out.String(), r.account.Username+" goes when nobody has used it for 1h0m0s.")
	r.rotate(t, 0, "--grace", "2h")
	contains(t, "the output", r.out.String(), r.account.Username+"~1 goes at ")
}

func TestRotateRefusesStrangers(t *testing.T) {
	t.Parallel()
	r := newRotatable(t)
	other := r.account
	other.Username = "somebody"
	r.write(t, r.file, string(other.File(config.KeyGatekeeper)))
	r.rotate(t, exitUnavailable)
	contains(t, "the message", r.err.String(), r.file+" holds the credentials of somebody, which is no user of that name",
		"the one that stays is "+r.account.Username, "terraform apply")
	if r.held(t) != other {
		t.Error("the file was changed")
	}
}

func TestRotateProvesTheLogin(t *testing.T) {
	t.Parallel()
	r := newRotatable(t)
	wrong := r.account
	wrong.VHost = "nowhere"
	r.write(t, r.file, string(wrong.File(config.KeyGatekeeper)))
	r.rotate(t, exitRefused)
	contains(t, "the message", r.err.String(), "the new credentials were tried, and are not handed out")
	if r.held(t) != wrong || !r.works(t, r.account) {
		t.Error("something was changed")
	}
	family, err := r.client.Family(t.Context(), r.account.Username)
	if err != nil || len(family.Members) != 1 || family.Members[0].Ending() {
		t.Errorf("left behind: %+v, %v", family.Members, err)
	}
}

func TestRotateAsNobody(t *testing.T) {
	t.Parallel()
	r := newRotatable(t)
	r.write(t, r.flags[3], string(r.account.File(config.KeyURI)))
	r.rotate(t, exitRefused)
	contains(t, "the message", r.err.String(), `needs the tag "administrator"`)
}
