package provider

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
)

const (
	expireService = "rabbitmq-expire"
	commandName   = "autopkgtest-cloud"
	// expireEvery is how late an old user may go.
	expireEvery = "1m"
)

// expireDefinition is the job beside a broker that removes users whose end has come after a rotation, when no apply does. It needs
// an administrator's account, so it belongs to the broker and to nobody else.
func expireDefinition(d *host.Directory, info rabbitmq.Info, binary host.Binary) host.Service {
	return host.Service{
		Name:   expireService,
		Format: definitionFormat,
		Binary: &binary,
		Processes: []host.Process{{
			Name: expireService,
			Argv: []string{
				d.BinaryPath(binary), "expire", "--every", expireEvery,
				"--management-url", info.ManagementURL, "--administrator", info.CredentialsFile,
			},
		}},
	}
}

func (s *settings) ensureExpiry(ctx context.Context, d *host.Directory, info rabbitmq.Info) error {
	binary, err := s.binary(commandName)
	if err != nil {
		return err
	}
	_, err = d.Converge(ctx, expireDefinition(d, info, binary))
	return err
}

// expiryProblem says in a sentence what is wrong with the job.
func (s *settings) expiryProblem(ctx context.Context, d *host.Directory) (string, error) {
	found, err := d.Inspect(ctx, expireService)
	switch {
	case err != nil:
		return "", err
	case !found.Present:
		return "the job that removes old users is missing", nil
	}
	if result := serviceFinding(found); result.Problem != "" {
		return result.Problem, nil
	}
	binary, err := s.binary(commandName)
	if err == nil && binary.SHA256 != found.Binary {
		return "the job that removes old users is of another version", nil
	}
	return "", nil // without a program to install there is nothing that an apply could do better
}
