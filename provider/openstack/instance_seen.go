package openstack

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

func isGone(server *cloud.Server) bool {
	return server.Status == cloud.StatusDeleted || server.Status == cloud.StatusSoftDeleted
}

// madeOf is what a server's description says.
func madeOf(server *cloud.Server) Made {
	made := Made{ID: server.ID, Unfinished: server.Metadata[makingKey] != ""}
	made.Image, _ = server.Image["id"].(string)
	fixed, floating := cloud.Addresses(server)
	made.Address, made.Floating = firstOf(fixed), firstOf(floating)
	for name, network := range server.Addresses {
		entries, _ := network.([]any)
		for _, one := range entries {
			if entry, _ := one.(map[string]any); entry["addr"] == made.Address {
				made.Network = name
			}
		}
	}
	return made
}

// firstOf prefers IPv4, and is otherwise the same whatever the order.
func firstOf(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return ""
	}
	return slices.MinFunc(addresses, func(a, b netip.Addr) int {
		if a.Is4() != b.Is4() {
			return map[bool]int{true: -1, false: 1}[a.Is4()]
		}
		return a.Compare(b)
	}).String()
}

// groupsOf are the names of a server's groups. Nova says each as often as the server has ports.
func groupsOf(server *cloud.Server) (names []string) {
	for _, group := range server.SecurityGroups {
		if name, ok := group["name"].(string); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// complete looks up what a server's description does not say.
func (i *Inventory) complete(ctx context.Context, made *Made) error {
	all, err := i.Ports(ctx, made.ID)
	if err != nil {
		return err
	}
	for _, port := range all {
		for _, address := range port.FixedIPs {
			if address.IPAddress == made.Address {
				made.Port = port.ID
			}
		}
	}
	made.ImageName, err = i.imageName(ctx, made.Image)
	return err
}

// imageName is empty for a server that was made of no image, or of one that is gone.
func (i *Inventory) imageName(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	image, err := i.ImageByID(ctx, id)
	return image.Name, cloud.UnlessGone(err)
}

// allServers are the project's servers, listed once until something is changed.
func (i *Inventory) allServers(ctx context.Context) ([]cloud.Server, error) {
	return i.servers.all(ctx, func(ctx context.Context) ([]cloud.Server, error) {
		all, err := i.ServersTagged(ctx)
		slices.SortFunc(all, func(a, b cloud.Server) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
		return all, err
	})
}

// Seen is an instance as it was found.
type Seen struct {
	Made
	Name, Flavor, Key string
	Groups            []string
	// Trouble is a sentence that says why it does not run; empty if it does.
	Trouble string
}

// Instance finds an instance by its id; without one, by the name that an interrupted attempt of the stack has given to a server. nil is
// that there is none. It asks the cloud once for all instances.
func (i *Inventory) Instance(ctx context.Context, id, stack, name string) (*Seen, error) {
	all, err := i.allServers(ctx)
	if err != nil {
		return nil, err
	}
	for n := range all {
		server := &all[n]
		left := id == "" && server.Name == name && server.Metadata[stackKey] == stack && server.Metadata[makingKey] != ""
		if (server.ID == id || left) && !isGone(server) {
			return seenOf(server), nil
		}
	}
	return nil, nil
}

func seenOf(server *cloud.Server) *Seen {
	seen := &Seen{Made: madeOf(server), Name: server.Name, Key: server.KeyName, Groups: groupsOf(server)}
	seen.Flavor, _ = server.Flavor["original_name"].(string)
	switch {
	case server.Status == cloud.StatusError:
		seen.Trouble = "it is in ERROR: " + cmp.Or(server.Fault.Message, "the cloud says no reason")
	case server.Status == cloud.StatusShutoff:
		seen.Trouble = "it is switched off (SHUTOFF)"
	case server.Status != cloud.StatusActive && !strings.Contains(server.Status, "REBOOT"):
		seen.Trouble = "it does not run: " + server.Status
	case seen.Unfinished:
		seen.Trouble = "it is not finished: its creation was interrupted"
	}
	return seen
}

// Complete looks up what the list of servers does not say.
func (i *Inventory) Complete(ctx context.Context, seen *Seen) error {
	return i.complete(ctx, &seen.Made)
}
