package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// A service that is replaced is removed and made anew, and so is one that is destroyed, only that nothing follows. The first
// must leave what the service holds, the second must not. Terraform calls both Delete; but the plan of a removal comes by
// ModifyPlan, while that of a replacement is the one of what comes instead. So the former leaves a mark in the private state,
// which Terraform hands to Delete.

// removalKey is the mark's.
const removalKey = "removal"

// markRemoval notes in a plan that the resource goes for good.
func markRemoval(ctx context.Context, m memory) { m.SetKey(ctx, removalKey, []byte("true")) }

// replaced says, while something is removed, that another one comes in its place.
func (c *call[M]) replaced(ctx context.Context) bool {
	mark, diags := c.memory.GetKey(ctx, removalKey)
	c.diags.Append(diags...)
	return mark == nil
}

// unload removes a service from its stack's folder, but not what it holds.
func (s *settings) unload(directory string, unload func(*host.Directory) error) error {
	d, err := s.open(directory)
	if d == nil || err != nil {
		return err
	}
	err = unload(d)
	if errors.Is(err, host.ErrAbsent) {
		return nil
	}
	return err
}

// warnOfMove says in a plan that a service which moves to another folder does not take along what it holds.
func (p *planning[M]) warnOfMove(from, to *serviceModel, what string) {
	if from == nil || to.Directory.IsUnknown() || from.Directory.Equal(to.Directory) {
		return
	}
	p.diags.AddAttributeWarning(path.Root("directory"), "The "+what+" do not move",
		"They stay in "+from.path()+". The service in "+to.path()+" goes on with what is in its own folder. To go back, name the "+
			"old folder again; to be rid of them, remove it when nothing else of the stack is in it.")
}

// errHeld: something would be lost with a service.
var errHeld = errors.New("it would be lost")

// held is the refusal to remove a service with what it holds.
func held(what, consequence, attribute string, err error) error {
	return &problem{
		title:  what,
		detail: consequence + " Say that this may be with " + attribute + " = true, apply that, and destroy again.",
		err:    errors.Join(errHeld, err),
	}
}
