package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// ErrNoHost: no hypervisor can take the server now. Another region may.
var ErrNoHost = errors.New("no hypervisor takes the server")

// ErrBroken: the server is in ERROR, for another reason.
var ErrBroken = errors.New("the server is in ERROR")

// Statuses of a server that are not just passing.
const (
	StatusBuild   = "BUILD"
	StatusActive  = "ACTIVE"
	StatusShutoff = "SHUTOFF"
	StatusError   = "ERROR"
	// StatusDeleted is a moment in which a server that is gone is still listed.
	StatusDeleted = "DELETED"
	// StatusSoftDeleted is where a cloud keeps what was deleted for a while. It is in no list, and nobody but an administrator brings it
	// back.
	StatusSoftDeleted = "SOFT_DELETED"
)

const (
	// lookPause is between two looks at a server that changes: a quarter of a second costs the cloud little and a test nothing.
	lookPause     = 250 * time.Millisecond
	lookPauseLong = 2 * time.Second
	shortLooks    = 40
	consoleLines  = 40
)

// Server is a server of Nova.
type Server = servers.Server

// Boot is what a server is made of. All are ids, but for the names of groups and key.
type Boot struct {
	Name, Image, Flavor, Network string
	Key                          string
	Groups                       []string
	// UserData is for cloud-init, at most 48 KiB (64 KiB encoded). Every account of the project can read it: no secret belongs there.
	UserData []byte
	// Tags and Metadata tell whose it is. A tag has at most 60 characters and neither comma nor slash, a server at most 50.
	Tags     []string
	Metadata map[string]string
}

// Boot asks for a server and returns its id; it is not ACTIVE yet. It is not interrupted by the end of ctx. After an error without an
// answer, see [Unanswered], the server may be there nevertheless: find it by its tags.
func (r *Region) Boot(ctx context.Context, b Boot) (id string, err error) {
	ctx, cancel := toTheAnswer(ctx)
	defer cancel()
	err = r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		var opts servers.CreateOptsBuilder = servers.CreateOpts{
			Name: b.Name, ImageRef: b.Image, FlavorRef: b.Flavor, Networks: []servers.Network{{UUID: b.Network}},
			SecurityGroups: b.Groups, UserData: b.UserData, Tags: b.Tags, Metadata: b.Metadata,
		}
		if b.Key != "" {
			opts = keypairs.CreateOptsExt{CreateOptsBuilder: opts, KeyName: b.Key}
		}
		server, err := servers.Create(ctx, client, opts, nil).Extract()
		if err == nil {
			id = server.ID
		}
		return err
	})
	return id, err
}

// Server returns a server; ErrNotFound when it is gone.
func (r *Region) Server(ctx context.Context, id string) (server *Server, err error) {
	err = r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		server, err = servers.Get(ctx, client, id).Extract()
		return err
	})
	return server, err
}

// ServersTagged are the project's servers with all of the tags; without tags all of its servers.
func (r *Region) ServersTagged(ctx context.Context, tags ...string) ([]Server, error) {
	return List(ctx, r, Compute, func(client *gophercloud.ServiceClient) pagination.Pager {
		return servers.List(client, servers.ListOpts{Tags: strings.Join(tags, ",")})
	}, servers.ExtractServers)
}

// AwaitActive waits until the server is ACTIVE, for as long as ctx allows. A server in ERROR is ErrNoHost or ErrBroken, with the
// cloud's words; one that disappears is ErrNotFound.
func (r *Region) AwaitActive(ctx context.Context, id string) (*Server, error) {
	var last *Server
	err := Poll(ctx, func() (bool, error) {
		server, err := r.Server(ctx, id)
		if err != nil {
			return false, err
		}
		last = server
		if server.Status == StatusError {
			return false, r.broken(ctx, server)
		}
		return server.Status == StatusActive, nil
	})
	if err != nil && last != nil && ctx.Err() != nil {
		return last, r.NewError(ErrUnavailable, Compute, fmt.Sprintf("server %s (%s) is still %s", last.Name, id, last.Status),
			"look at it with: openstack server show "+id)
	}
	return last, err
}

// broken says why a server is in ERROR, and which request it was that failed.
func (r *Region) broken(ctx context.Context, server *Server) error {
	kind, wayOut := ErrBroken, "see «openstack server show "+server.ID+"», and tell the cloud's operators the request's id"
	if strings.Contains(server.Fault.Message, "No valid host") {
		kind = ErrNoHost
		wayOut = "the region is full for this flavor, or no hypervisor is up: try a smaller flavor, another region, or later"
	}
	words := server.Fault.Message
	if words == "" {
		words = "the cloud says no reason"
	}
	fail := r.NewError(kind, Compute, fmt.Sprintf("server %s (%s) is in ERROR: %s", server.Name, server.ID, words), wayOut)
	fail.RequestID = r.lastRequest(ctx, server.ID)
	return fail
}

// lastRequest is what the cloud's logs know the last request by that changed a server; empty where the cloud does not tell. The requests
// that a server fails of were accepted: so their answers have no failure to show.
func (r *Region) lastRequest(ctx context.Context, id string) string {
	all, err := List(ctx, r, Compute, func(client *gophercloud.ServiceClient) pagination.Pager {
		return instanceactions.List(client, id, nil)
	}, instanceactions.ExtractInstanceActions)
	if err != nil || len(all) == 0 {
		return ""
	}
	return all[0].RequestID // the newest is the first
}

// Rebuild has a server made anew from an image, with its name, address, tags and user data, where it is: it needs no room elsewhere.
// Wait for it with AwaitActive.
func (r *Region) Rebuild(ctx context.Context, id, image string) error {
	return r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		_, err := servers.Rebuild(ctx, client, id, servers.RebuildOpts{ImageRef: image}).Extract()
		return err
	})
}

// DeleteServer has a server removed. One that is gone is no error; it may be seen for a moment, see AwaitGone.
func (r *Region) DeleteServer(ctx context.Context, id string) error {
	return UnlessGone(r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		return servers.Delete(ctx, client, id).ExtractErr()
	}))
}

// AwaitGone waits until a server that was deleted is gone, for as long as ctx allows.
func (r *Region) AwaitGone(ctx context.Context, id string) error {
	status := ""
	err := Poll(ctx, func() (bool, error) {
		server, err := r.Server(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		status = server.Status
		return status == StatusSoftDeleted, nil
	})
	if err != nil && ctx.Err() != nil && status != "" {
		return r.NewError(ErrUnavailable, Compute, fmt.Sprintf("server %s was deleted and is still %s", id, status),
			"it goes when its hypervisor answers; see «openstack server show "+id+"»")
	}
	return err
}

// Console is the end of what the server wrote to its console; a sentence where the cloud has none, as simulated hypervisors do.
func (r *Region) Console(ctx context.Context, id string) string {
	text, err := r.ConsoleLog(ctx, id, consoleLines)
	switch {
	case err != nil:
		return "(no console: " + err.Error() + ")"
	case strings.TrimSpace(text) == "":
		return "(the console is empty)"
	}
	return text
}

// ConsoleLog is what the server wrote to its console, the last lines of it, or all that the cloud has for no number.
func (r *Region) ConsoleLog(ctx context.Context, id string, lines int) (text string, err error) {
	err = r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		text, err = servers.ShowConsoleOutput(ctx, client, id, servers.ShowConsoleOutputOpts{Length: lines}).Extract()
		return err
	})
	return text, err
}

// Addresses are a server's, the fixed ones apart from the floating ones.
func Addresses(server *Server) (fixed, floating []netip.Addr) {
	for _, network := range server.Addresses {
		entries, _ := network.([]any)
		for _, one := range entries {
			entry, _ := one.(map[string]any)
			text, _ := entry["addr"].(string)
			address, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			if entry["OS-EXT-IPS:type"] == "floating" {
				floating = append(floating, address)
			} else {
				fixed = append(fixed, address)
			}
		}
	}
	return fixed, floating
}

// Poll looks again and again until done, an error, or the end of ctx: often at first, as most things take seconds.
func Poll(ctx context.Context, look func() (done bool, err error)) error {
	for looks := 0; ; looks++ {
		done, err := look()
		if done || err != nil {
			return err
		}
		pause := lookPause
		if looks > shortLooks {
			pause = lookPauseLong
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
