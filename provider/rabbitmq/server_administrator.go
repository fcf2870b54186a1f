package rabbitmq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// administratorFile is relative to the stack's folder.
const administratorFile = "credentials/rabbitmq-admin"

// readAdministrator reads the password from the administrator's credentials file. Where that is lost or worthless the
// password is empty and the sentence says why: the next apply makes a new one. A file that others could read is
// worthless.
func readAdministrator(d *host.Directory, name string) (config.Secret, string, error) {
	rotation := "an apply writes it again, with a new password for " + name
	path := d.Path(administratorFile)
	kept, err := config.ReadBroker(path)
	switch {
	case err == nil && kept.Username == name:
		return kept.Password, "", nil
	case err == nil:
		return "", "the credentials file " + path + " is for another user; " + rotation, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", "the credentials file " + path + " is gone; " + rotation, nil
	case errors.Is(err, config.ErrExposed):
		return "", "the credentials file " + path + " can be read by other accounts; " + rotation, nil
	case errors.Is(err, config.ErrInvalid):
		return "", "the credentials file " + path + " cannot be used; " + rotation, nil
	}
	return "", "", err
}

// administratorServes says whether the administrator can log in and may do management.Everything.
func administratorServes(ctx context.Context, i Info, password config.Secret) (bool, error) {
	m, err := management.New(i.ManagementURL, i.Administrator, password)
	if err != nil {
		return false, err
	}
	who, err := m.Identity(ctx)
	if errors.Is(err, management.ErrDenied) || err == nil && !slices.Contains(who.Tags, "administrator") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	may, err := m.Permissions(ctx, i.Administrator)
	if errors.Is(err, management.ErrNotFound) {
		return false, nil
	}
	return may == management.Everything, err
}

// putAdministrator makes the administrator, or sets its password, tags and permissions, and touches nothing else.
// Definitions are used because rabbitmqctl takes them from stdin, with a hash instead of the password.
func putAdministrator(ctx context.Context, d *host.Directory, n node, password config.Secret) error {
	text, err := administratorDefinitions(n.Administrator, password)
	if err == nil {
		_, err = control(ctx, d, n, bytes.NewReader(text), "import_definitions")
	}
	if err != nil {
		return fmt.Errorf("make the broker's user %s: %w", n.Administrator, err)
	}
	return nil
}

func administratorDefinitions(name string, password config.Secret) ([]byte, error) {
	type object = map[string]any
	return json.Marshal(object{
		"users": []object{{
			"name": name, "password_hash": management.HashPassword(password),
			"hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []string{"administrator"},
		}},
		"permissions": []object{{
			"user": name, "vhost": management.VHost,
			"configure": management.Everything.Configure, "write": management.Everything.Write, "read": management.Everything.Read,
		}},
	})
}

// ensureAdministrator gives the administrator its password where the node does not know it: after the first start, after
// the database or the credentials file was lost, and after somebody else changed it.
func ensureAdministrator(ctx context.Context, d *host.Directory, n node, i Info, password config.Secret) error {
	if ok, err := administratorServes(ctx, i, password); err != nil || ok {
		return err
	}
	if err := retry(ctx, administratorLimit, func(ctx context.Context) error {
		return putAdministrator(ctx, d, n, password)
	}); err != nil {
		return err
	}
	// The import goes on after rabbitmqctl has ended.
	what := "the login of the broker's user " + i.Administrator
	if err := d.WaitReady(ctx, what, "rabbitmq", administratorLimit, func(ctx context.Context) error {
		ok, err := administratorServes(ctx, i, password)
		if err == nil && !ok {
			err = errors.New("the broker does not know the new password yet")
		}
		return err
	}); err != nil {
		return err
	}
	return Sync(ctx, d)
}

// retry calls f until it succeeds, at most for limit. A node takes connections a moment before it has told itself that it
// runs, and until then rabbitmqctl refuses what changes it.
func retry(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	end := time.Now().Add(limit)
	for {
		err := f(ctx)
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}
