package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// sweepLimit bounds the end: a broker that is in the middle of its start needs the longest.
const sweepLimit = 2 * time.Minute

// FolderOptions say whose folder MakeFolder makes, where, and for how long.
type FolderOptions struct {
	Keep    bool   // release leaves it, and so does a guard
	Account string // empty for the usual one
	Place   string // the folder to make it in; empty for the temporary folder
}

// Flags gives a command the flags for them.
func (o *FolderOptions) Flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.Keep, "keep", false, "leave the services running, and say how to remove them")
	c.Flags().StringVar(&o.Account, "account", "",
		"who runs the services when root starts this (default "+host.DefaultAccount+")")
	c.Flags().StringVar(&o.Place, "place", "",
		"folder to make the stack's folder in (default the temporary folder)")
}

// MakeFolder makes a stack in a new folder. release removes it with everything in it; should we be killed, a guard does.
func MakeFolder(ctx context.Context, stack string, o FolderOptions) (d *host.Directory, release func() error, err error) {
	account, err := host.Choose(o.Account)
	if err != nil {
		return nil, nil, err
	}
	d, err = create(ctx, stack, account, o.Place)
	if errors.Is(err, host.ErrUnreachable) && o.Place == "" {
		// The temporary folder may be one that only we can reach. The account's home is one that it can.
		d, err = create(ctx, stack, account, account.Home)
	}
	if err != nil {
		return nil, nil, err
	}
	path := d.Path()
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepLimit)
		defer cancel()
		return host.Sweep(ctx, path)
	}
	if o.Keep {
		return d, remove, nil
	}
	dismiss, err := StartGuard(path)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return d, func() error { return errors.Join(remove(), dismiss()) }, nil
}

func create(ctx context.Context, stack string, account host.Account, place string) (*host.Directory, error) {
	path, err := os.MkdirTemp(place, "autopkgtest-stack-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the stack: %w", err)
	}
	d, err := host.Create(ctx, host.Options{Path: path, Stack: stack, Account: account})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return d, nil
}
