package main

import (
	"context"
	"fmt"
	"net/http"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// broker is RabbitMQ. Nova and Neutron of each region have a virtual host and a user of that name; the virtual host / is left to
// whoever uses the cloud.
func (c *cloud) broker() service {
	return service{name: "rabbitmq", finish: func(ctx context.Context) error {
		info, err := rabbitmq.Apply(ctx, c.d, rabbitmq.Settings{})
		if err != nil {
			return err
		}
		administrator, err := config.ReadBroker(info.CredentialsFile)
		if err != nil {
			return err
		}
		api, err := rabbithole.NewClient(info.ManagementURL, administrator.Username, administrator.Password.Reveal())
		if err != nil {
			return err
		}
		for _, r := range regions {
			for _, name := range []string{"nova-" + r.Name, "neutron-" + r.Name} {
				if err := c.giveVHost(api, name); err != nil {
					return fmt.Errorf("make the virtual host %s: %w", name, err)
				}
			}
		}
		return nil
	}}
}

// giveVHost makes a virtual host and its user. All three calls replace what is there by the same.
func (c *cloud) giveVHost(api *rabbithole.Client, name string) error {
	done := func(response *http.Response, err error) error {
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	if err := done(api.PutVhost(name, rabbithole.VhostSettings{})); err != nil {
		return err
	}
	if err := done(api.PutUser(name, rabbithole.UserSettings{
		Name:             name,
		PasswordHash:     rabbithole.Base64EncodedSaltedPasswordHashSHA256(c.Password(name).Reveal()),
		HashingAlgorithm: rabbithole.HashingAlgorithmSHA256,
	})); err != nil {
		return err
	}
	return done(api.UpdatePermissionsIn(name, name, rabbithole.Permissions{Configure: ".*", Write: ".*", Read: ".*"}))
}

// Transport is the address of a virtual host, for oslo.messaging.
func (c *cloud) Transport(name string) string {
	return fmt.Sprintf("rabbit://%s:%s@%s:%d/%s", name, c.Password(name).Reveal(), c.Address(), c.at.amqp, name)
}
