package provider

import (
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// unfit explains why a broker cannot be managed with what the configuration says of it, at the attribute that is to blame.
func unfit(err error) error {
	broker := path.Root("broker")
	credentials := broker.AtName("credentials_file")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, management.ErrNoManagement), errors.Is(err, management.ErrNotAdministrator):
		return at(credentials, &problem{
			title: "The user is not an administrator of the broker", err: err,
			detail: "Give it the tag on the broker's machine (rabbitmqctl set_user_tags NAME administrator), or name the credentials " +
				"file of an administrator.",
		})
	case errors.Is(err, management.ErrDenied):
		return at(credentials, &problem{
			title: "The broker refuses the user and password", err: err,
			detail: "Correct the credentials file, or set the password on the broker's machine (rabbitmqctl change_password NAME).",
		})
	case errors.Is(err, management.ErrUnavailable):
		return at(broker.AtName("management_url"), &problem{
			title: "The broker's management API does not answer", err: err,
			detail: "Is the broker up, and its plugin rabbitmq_management enabled? Is the address right, and may this machine reach it?",
		})
	}
	return at(broker, err)
}
