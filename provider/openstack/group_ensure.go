package openstack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// FindGroup looks for a group in what is known of the region, which is listed if need be; nil if it is not there. One that is not the
// spec's, or is there twice, is a refusal, which is a cloud.ErrConflict.
func (i *Inventory) FindGroup(ctx context.Context, s GroupSpec) (*Group, error) {
	all, err := i.Groups(ctx)
	if err != nil {
		return nil, err
	}
	return s.choose(i.Region, all)
}

// ImportGroup finds a group by its id or its name. adopt is false for one that the stack owns, or may own from now on.
func (i *Inventory) ImportGroup(ctx context.Context, stack, which string) (found Group, adopt bool, err error) {
	spec := GroupSpec{Stack: stack, ID: which, Name: which, Adopt: true}
	g, err := i.FindGroup(ctx, spec)
	if err == nil && g == nil {
		err = i.NewError(cloud.ErrNotFound, cloud.Network, "there is no security group with the id or the name "+which,
			"see what there is with: openstack security group list")
	}
	if err != nil {
		return Group{}, false, err
	}
	return *g, g.Name == DefaultGroup, nil
}

// EnsureGroup makes a group as the spec says, whatever is there already, and returns what it is then. It can be ended at any moment and
// called again. After a failure the group has an id if it is there.
func (i *Inventory) EnsureGroup(ctx context.Context, s GroupSpec) (Group, error) {
	i.groups.drop()
	defer i.groups.drop()
	found, err := i.FindGroup(ctx, s)
	if err != nil {
		return Group{}, err
	}
	switch {
	case found == nil && s.Adopt:
		return Group{}, i.NewError(cloud.ErrNotFound, cloud.Network, "there is no security group "+s.Name+" to adopt",
			"correct the name, or leave out adopt and have the group made")
	case found == nil:
		made, err := i.createGroup(ctx, s.Name, s.beginning())
		if err != nil {
			return Group{}, err
		}
		found = &made
	}
	g := *found
	i.ensured.add(g.ID)
	changed, err := i.mark(ctx, s, g)
	// Twice: a rule that the cloud takes for an equal one of the first round is then looked at again.
	for range 2 {
		d := s.difference(g)
		if err == nil && !d.empty() {
			changed, err = true, i.apply(ctx, s, g.ID, d)
		}
		if err != nil || !changed {
			break
		}
		var now Group
		if now, err = i.getGroup(ctx, g.ID); err == nil {
			g, changed = now, false
		}
	}
	return g, err
}

// mark has a group carry the name, the description and the mark of what we own, or not the mark. It says whether it had to.
func (i *Inventory) mark(ctx context.Context, s GroupSpec, g Group) (changed bool, err error) {
	mark := Mark(s.Stack)
	marked := slices.Contains(g.Tags, mark)
	if s.Adopt {
		if marked {
			err = i.untagGroup(ctx, g.ID, mark)
		}
		return marked, err
	}
	if stack, others := markedStack(g.Tags); others && stack != s.Stack {
		changed = true // it was imported, and so it is ours now
		if err := i.untagGroup(ctx, g.ID, Mark(stack)); err != nil {
			return changed, err
		}
	}
	if !marked {
		changed = true
		if err := i.tagGroup(ctx, g.ID, mark); err != nil {
			return changed, err
		}
	}
	if g.Name == s.Name && g.Description == s.Description {
		return changed, nil
	}
	return true, i.describeGroup(ctx, g.ID, s.Name, s.Description)
}

// apply adds before it removes, so that nothing which passes before and after is ever kept out.
func (i *Inventory) apply(ctx context.Context, s GroupSpec, group string, d difference) error {
	add := func(r WantedRule) error {
		return i.createRule(ctx, ruleRequest{group: group, rule: r.Rule, description: withMark(r.Description, s.Stack)})
	}
	for _, r := range d.add {
		if err := add(r); err != nil {
			return err
		}
	}
	for _, r := range d.remove {
		if err := i.deleteRule(ctx, r.ID); err != nil {
			return err
		}
	}
	for _, r := range d.remake {
		if err := errors.Join(i.deleteRule(ctx, r.old.ID), add(r.new)); err != nil {
			return err
		}
	}
	return nil
}

const (
	// removalReserve is what a removal keeps of its time to tell why it did not succeed.
	removalReserve = 10 * time.Second
	removalPause   = 2 * time.Second
)

// RemoveGroup removes an owned group, and of an adopted one the rules that the stack has added. One that is gone is a success. A group
// that is in use is waited for until shortly before the context's deadline; then the error names who uses it.
func (i *Inventory) RemoveGroup(ctx context.Context, s GroupSpec) error {
	i.groups.drop()
	defer i.groups.drop()
	all, err := i.Groups(ctx)
	if err != nil {
		return err
	}
	for _, g := range s.ours(all) {
		if i.ensured.has(g.ID) {
			continue
		}
		if s.Adopt {
			err = i.removeRules(ctx, s, g)
		} else {
			err = i.removeOwned(ctx, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeRules takes from a group what the stack has added.
func (i *Inventory) removeRules(ctx context.Context, s GroupSpec, g Group) error {
	for _, r := range g.Rules {
		if _, ours := cutMark(r.Description, s.Stack); ours {
			if err := i.deleteRule(ctx, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *Inventory) removeOwned(ctx context.Context, g Group) error {
	until := time.Now().Add(time.Hour)
	if deadline, has := ctx.Deadline(); has {
		until = deadline.Add(-min(removalReserve, time.Until(deadline)/2))
	}
	for {
		err := i.deleteGroup(ctx, g.ID)
		if !errors.Is(err, cloud.ErrConflict) {
			return err
		}
		if time.Now().Add(removalPause).Before(until) {
			select {
			case <-time.After(removalPause):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		users, failed := i.usersOf(ctx, g.ID)
		if failed != nil || len(users) == 0 {
			return errors.Join(err, failed)
		}
		return i.NewError(cloud.ErrConflict, cloud.Network,
			"the security group "+g.Name+" ("+g.ID+") is in use by "+strings.Join(users, ", "),
			"remove these, or take the group from them with: openstack server remove security group SERVER "+g.ID+"; then try again")
	}
}
