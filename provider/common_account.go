package provider

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// brokerAccount is a user as its credentials file has it.
type brokerAccount = config.Broker

// readAccount reads a user's credentials file. The problem says in a sentence why it cannot be used and what follows; an
// error is returned when nothing can be said.
func readAccount(m *brokerUserModel) (account brokerAccount, problem string, err error) {
	file := m.CredentialsFile.ValueString()
	account, err = config.ReadBroker(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return account, "the password file " + file + " is gone: the password will be replaced", nil
	case errors.Is(err, config.ErrExposed):
		return account, "the password file " + file + " could be read by others: the password will be replaced", nil
	case errors.Is(err, config.ErrInvalid):
		return account, "the password file " + file + " is damaged: the password will be replaced", nil
	case err != nil:
		return account, "", at(path.Root("credentials_file"), err)
	}
	owned, err := ownedBy(file, m.Owner.ValueString())
	if err != nil {
		return account, "", at(path.Root("owner"), err)
	}
	if !owned {
		return account, "the password file " + file + " does not belong to " + m.Owner.ValueString(), nil
	}
	return account, "", nil
}

// lookUser returns nil for a user that is not there.
func lookUser(ctx context.Context, client *management.Client, name string) (*management.User, error) {
	user, err := client.User(ctx, name)
	if errors.Is(err, management.ErrNotFound) {
		return nil, nil
	}
	return &user, err
}

// lookPermissions returns none for a user to whom nothing was granted.
func lookPermissions(ctx context.Context, client *management.Client, user string) (management.Permissions, error) {
	permissions, err := client.Permissions(ctx, user)
	if errors.Is(err, management.ErrNotFound) {
		return management.Permissions{}, nil
	}
	return permissions, err
}
