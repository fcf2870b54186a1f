package management

import (
	"context"
	"errors"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
)

// HasVHost says whether VHost is there. Without it every other call answers ErrNotFound.
func (m *Client) HasVHost(ctx context.Context) (bool, error) {
	err := m.call(ctx, func(c *rabbithole.Client) error {
		_, err := c.GetVhost(VHost)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// MakeVHost makes VHost, empty. That it is there already is success and changes nothing.
func (m *Client) MakeVHost(ctx context.Context) error {
	there, err := m.HasVHost(ctx)
	if err != nil || there {
		return err
	}
	return m.call(ctx, func(c *rabbithole.Client) error { return closing(c.PutVhost(VHost, rabbithole.VhostSettings{})) })
}
