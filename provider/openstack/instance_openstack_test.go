//go:build openstack

package openstack

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// instanceHere is an instance of a stack of the test's own, and its region. What is left of it goes with the test.
func instanceHere(t *testing.T) (*Inventory, Instance) {
	t.Helper()
	i := &Inventory{Region: openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01)}
	name := "test-" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		all, err := i.ServersTagged(context.Background())
		for _, server := range all {
			if server.Name == name {
				err = errors.Join(err, i.RemoveInstance(context.Background(), server.ID))
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	return i, Instance{
		Name: name, Stack: name, ImagePattern: "testbed", Flavor: "m1.tiny", Network: "net_scalingstack", Groups: []string{"default"},
		Data: []byte("#cloud-config\n"),
	}
}

// TestInstanceIsFinished: what was interrupted at any moment is finished by the next attempt, in one server; with another plan of it, it is
// made anew, as nobody has it; and one that is finished is nobody's leftover.
func TestInstanceIsFinished(t *testing.T) {
	t.Parallel()
	i, want := instanceHere(t)
	ctx := t.Context()
	id, err := i.boot(ctx, want) // somebody who is interrupted now has no id
	if err != nil {
		t.Fatal(err)
	}
	made, err := i.EnsureInstance(ctx, want, "")
	if err != nil || made.ID != id || !made.Unfinished || made.Port == "" || made.Address == "" || made.ImageName != "testbed" {
		t.Fatalf("%+v, %v; begun was %s", made, err, id)
	}
	if seen, err := i.Instance(ctx, "", want.Stack, want.Name); err != nil || seen == nil || seen.ID != id {
		t.Errorf("without an id it is not found: %+v, %v", seen, err)
	}
	if _, err := i.EnsureInstance(ctx, want, ""); !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("two of one name in one process: %v", err)
	}
	later := &Inventory{Region: i.Region} // another process
	other := want
	other.Data = []byte("#cloud-config\n{}\n")
	if made, err = later.EnsureInstance(ctx, other, ""); err != nil || made.ID == id {
		t.Errorf("with other user data: %+v, %v", made, err)
	}
	if _, err := i.Server(ctx, id); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("the first is still there: %v", err)
	}
	if err := errors.Join(later.FinishInstance(ctx, &made), later.FinishInstance(ctx, &made)); err != nil || made.Unfinished {
		t.Error(err)
	}
	_, err = (&Inventory{Region: i.Region}).EnsureInstance(ctx, other, "")
	if !errors.Is(err, cloud.ErrConflict) || !strings.Contains(err.Error(), "import id lcy01,"+made.ID) {
		t.Errorf("one that is finished: %v", err)
	}
	if err := later.RemoveInstance(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if left, err := later.Ports(ctx, made.ID); err != nil || len(left) != 0 {
		t.Errorf("%d ports are left, %v", len(left), err)
	}
	if _, err := later.EnsureInstance(ctx, other, made.ID); !errors.Is(err, cloud.ErrNotFound) || !strings.Contains(err.Error(), "request req-") {
		t.Errorf("one that is gone: %v", err)
	}
}

// TestInstanceInterrupted: who is interrupted while the cloud answers has the id of the server, and can have it removed; without one, by its
// name.
func TestInstanceInterrupted(t *testing.T) {
	t.Parallel()
	i, want := instanceHere(t)
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	interrupted := &Inventory{Region: openstacktest.RegionOf(t, between.RCFile(t, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	between.Lose(func(s openstacktest.Seen) bool {
		if s.Method == http.MethodPost && s.Path == "/servers" {
			cancel()
			time.Sleep(time.Second) // for whoever hangs up now
		}
		return false
	})
	made, err := interrupted.EnsureInstance(ctx, want, "")
	if !errors.Is(err, context.Canceled) || made.ID == "" {
		t.Errorf("interrupted with the id %q: %v", made.ID, err)
	}
	var failure *Failure
	if errors.As(err, &failure) {
		t.Errorf("who has interrupted us waits for a console: %v", err)
	}
	if err := i.RemoveUnfinished(t.Context(), want.Stack, want.Name); err != nil {
		t.Error(err)
	}
	if seen, err := i.Instance(t.Context(), made.ID, want.Stack, want.Name); err != nil || seen != nil {
		t.Errorf("it is still there: %+v, %v", seen, err)
	}
}
