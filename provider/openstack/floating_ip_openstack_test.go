//go:build openstack

package openstack

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// projectOfATest is a project with somebody in between.
func projectOfATest(t *testing.T) (*Inventory, *openstacktest.Between) {
	t.Helper()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	region, err := new(cloud.Sessions).Region(between.Cloud(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return new(Inventories).Of(region), between
}

// TestFloatingIPOnce: ten at once who want the same address get one, ten who look at it list once, and two with one mark are refused
// with the addresses of both.
func TestFloatingIPOnce(t *testing.T) {
	t.Parallel()
	project, between := projectOfATest(t)
	ctx := context.WithoutCancel(t.Context())
	want := FloatingIP{Mark: FloatingIPMark("test", rand.Text())}
	t.Cleanup(func() {
		between.Spoil(nil)
		left, err := project.FloatingIPsMarked(ctx, want.Mark)
		for _, one := range left {
			err = errors.Join(err, project.Release(ctx, one.ID))
		}
		if err != nil {
			t.Error(err)
		}
	})
	var together sync.WaitGroup
	ids := make([]string, 10)
	for n := range ids {
		together.Go(func() {
			there, err := project.EnsureFloatingIP(ctx, want)
			if err != nil {
				t.Error(err)
			}
			ids[n] = there.ID
		})
	}
	together.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("%q", ids)
		}
	}
	between.Forget()
	for range 10 {
		together.Go(func() {
			_, problem, err := project.LookAtFloatingIP(ctx, FloatingIP{ID: ids[0], Mark: want.Mark}, "")
			if err != nil || problem != "" {
				t.Errorf("%q, %v", problem, err)
			}
		})
	}
	together.Wait()
	if count := between.Count(http.MethodGet, "network", "/floatingips"); count != 1 {
		t.Errorf("%d lists: %v", count, between.Requests())
	}
	outside, err := project.ExternalNetwork(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := project.Allocate(ctx, outside.ID, want.Mark)
	if err != nil {
		t.Fatal(err)
	}
	_, err = project.EnsureFloatingIP(ctx, want)
	var field *FieldError
	if !errors.As(err, &field) || field.Field != FieldName || !errors.Is(err, cloud.ErrConflict) || !strings.Contains(err.Error(), second.FloatingIP) {
		t.Errorf("two with one mark: %v", err)
	}
	// One that this process has ensured is somebody's: what it replaces does not take it along.
	if err := project.RemoveFloatingIP(ctx, FloatingIP{ID: ids[0]}, ""); err != nil {
		t.Error(err)
	}
	if _, err := project.FloatingIP(ctx, ids[0]); err != nil {
		t.Error(err)
	}
}

// TestFloatingIPLost: the answer to an allocation is lost, the next attempt finds the address, and where there is none, an end without
// an id releases it.
func TestFloatingIPLost(t *testing.T) {
	t.Parallel()
	project, between := projectOfATest(t)
	ctx := context.WithoutCancel(t.Context())
	want := FloatingIP{Mark: FloatingIPMark("test", rand.Text())}
	outside, err := project.ExternalNetwork(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	lost, err := project.Allocate(ctx, outside.ID, want.Mark)
	if err != nil {
		t.Fatal(err)
	}
	between.Forget()
	there, _, err := project.LookAtFloatingIP(ctx, want, "")
	if err != nil || there.ID != lost.ID {
		t.Errorf("%+v, %v", there, err)
	}
	if err := project.RemoveFloatingIP(ctx, want, ""); err != nil {
		t.Error(err)
	}
	if left, err := project.FloatingIPsMarked(ctx, want.Mark); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}
