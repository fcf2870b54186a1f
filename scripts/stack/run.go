package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/command"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// stackName marks the folders of this command, so that no deployment takes one for its own.
const stackName = "test"

type runOptions struct {
	command.FolderOptions
	deliveryTimeout time.Duration
}

func runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run [--keep] -- COMMAND...",
		Short: "Start RabbitMQ and Swift, run a command, and remove everything again",
		Long: `Starts RabbitMQ and Swift in a new folder, runs the command, removes everything, and exits with the command's code.

The command finds them by its environment:
  AUTOPKGTEST_TEST_AMQP         amqp://USER:PASSWORD@HOST:PORT/, an administrator
  AUTOPKGTEST_TEST_AMQPS        path of the same user's credentials file for AMQP over TLS
  AUTOPKGTEST_TEST_MANAGEMENT   http://USER:PASSWORD@HOST:PORT, the same user
  AUTOPKGTEST_TEST_SWIFT        path of a credentials file
  AUTOPKGTEST_TEST_SWIFT_READER that of a user who may read what an access list gives him
  AUTOPKGTEST_TEST_DIRECTORY    the folder`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return run(c.Context(), o, arguments)
		},
	}
	c.Flags().SetInterspersed(false) // flags after the command's name are the command's
	o.Flags(c)
	c.Flags().DurationVar(&o.deliveryTimeout, "delivery-timeout", rabbitmq.DefaultDeliveryTimeout,
		"how long the broker lets a worker hold a request")
	return c
}

func run(ctx context.Context, o runOptions, arguments []string) (err error) {
	d, release, err := command.MakeFolder(ctx, stackName, o.FolderOptions)
	if err != nil {
		return err
	}
	defer func() {
		if o.Keep {
			fmt.Fprintf(os.Stderr, "stack: left in %s; `stack sweep %s` removes it\n", d.Path(), d.Path())
			return
		}
		if left := release(); left != nil {
			// The command's exit code must not hide it.
			fmt.Fprintln(os.Stderr, "stack:", left)
			err = errors.Join(err, left)
		}
	}()
	environment, err := startServices(ctx, d, o.deliveryTimeout)
	if err != nil {
		return err
	}
	return command.Execute(ctx, arguments, append(os.Environ(), environment...))
}

// startServices starts both at once and waits until both serve. It returns what the command finds them by.
func startServices(ctx context.Context, d *host.Directory, deliveryTimeout time.Duration) ([]string, error) {
	var broker rabbitmq.Info
	var store swift.Info
	reader := config.Store{Password: config.NewSecret()}
	begin := time.Now()
	together, within := errgroup.WithContext(ctx)
	together.Go(func() (err error) {
		broker, err = rabbitmq.Apply(within, d, rabbitmq.Settings{DeliveryTimeout: deliveryTimeout, TLS: &rabbitmq.TLS{}})
		tell(begin, "RabbitMQ", err)
		return err
	})
	together.Go(func() (err error) {
		store, err = swift.Apply(within, d, swift.Settings{Readers: map[string]config.Secret{readerName: reader.Password}})
		tell(begin, "Swift", err)
		return err
	})
	if err := together.Wait(); err != nil {
		return nil, err
	}
	if broker.Warning != "" {
		fmt.Fprintln(os.Stderr, "stack:", broker.Warning)
	}
	worker, err := config.ReadStore(store.CredentialsFile)
	if err != nil {
		return nil, err
	}
	account, _, _ := strings.Cut(worker.Username, ":")
	reader.AuthURL, reader.StorageURL, reader.Username = worker.AuthURL, worker.StorageURL, account+":"+readerName
	if _, err := d.WriteFile(readerFile, reader.Bytes(), 0o600); err != nil {
		return nil, err
	}
	return environment(d, broker, store)
}

// secureFile has the administrator's credentials for AMQP over TLS.
const secureFile = "credentials/administrator-tls"

// readerName is a user of the store who may read what somebody lets him, and readerFile has his credentials.
const (
	readerName = "reader"
	readerFile = "credentials/swift-reader"
)

func tell(begin time.Time, what string, err error) {
	if err == nil {
		fmt.Fprintf(os.Stderr, "stack: %s serves after %.1f s\n", what, time.Since(begin).Seconds())
	}
}

func environment(d *host.Directory, broker rabbitmq.Info, store swift.Info) ([]string, error) {
	administrator, err := config.ReadBroker(broker.CredentialsFile)
	if err != nil {
		return nil, err
	}
	over := administrator
	over.TLS, over.Port, over.CAFile = true, 0, broker.AuthorityFile
	if _, err := d.WriteFile(secureFile, over.File(config.KeyURI), 0o600); err != nil {
		return nil, err
	}
	user := administrator.Username + ":" + administrator.Password.Reveal() + "@"
	const scheme = "http://"
	return []string{
		"AUTOPKGTEST_TEST_AMQP=amqp://" + user + administrator.Address() + "/",
		"AUTOPKGTEST_TEST_AMQPS=" + d.Path(secureFile),
		"AUTOPKGTEST_TEST_MANAGEMENT=" + scheme + user + broker.ManagementURL[len(scheme):],
		"AUTOPKGTEST_TEST_SWIFT=" + store.CredentialsFile,
		"AUTOPKGTEST_TEST_SWIFT_READER=" + d.Path(readerFile),
		"AUTOPKGTEST_TEST_DIRECTORY=" + d.Path(),
	}, nil
}
