package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// databaseService is also the group of the commands that make the databases.
const databaseService = "database"

// Socket is where the database is reached. It has no port: who may open the socket as the account is in, and no password is needed.
func (c *cloud) Socket() string { return c.at.service(databaseService, "run/socket") }

// Database is the address of one of the databases, for SQLAlchemy.
func (c *cloud) Database(name string) string {
	return fmt.Sprintf("mysql+pymysql://%s@/%s?unix_socket=%s&charset=utf8", c.at.account, name, c.Socket())
}

// databasesOf names the databases of a service, by what its templates say of them.
func databasesOf(s service) []string {
	kind, place, regional := strings.Cut(s.name, "-")
	switch {
	case len(s.migrations) == 0:
		return nil
	case kind == "nova":
		return []string{"nova_api_" + place, "nova_cell0_" + place, "nova_" + place}
	case regional:
		return []string{kind + "_" + place}
	}
	return []string{kind}
}

// database is MariaDB. Several services write to it at a time, and Neutron's migrations need it: SQLite would not do.
func (c *cloud) database(users []service) service {
	return service{
		name: databaseService,
		Service: host.Service{
			Name: databaseService, Folders: []string{"run", "tmp"}, Data: []string{"data"},
			Prepare:   func(ctx context.Context) error { return c.prepareData(ctx, users) },
			Processes: []host.Process{{Name: "mariadb", Argv: c.mariadbd(readyData), StopWait: 30 * time.Second}},
		},
		ready: []probe{{"MariaDB", "mariadb", func(ctx context.Context) error { return c.sql(ctx, "SELECT 1") }}},
	}
}

// The folders of the databases, below data: those that are in use, and those that are being made.
const (
	readyData = "ready"
	newData   = "new"
)

func (c *cloud) data(folder string) string { return c.at.service(databaseService, "data", folder) }

// mariadbd runs the databases in a folder. What a crash of the machine would cost does not matter here; time does.
func (c *cloud) mariadbd(folder string) []string {
	return []string{
		"/usr/sbin/mariadbd", "--no-defaults", "--datadir=" + c.data(folder), "--socket=" + c.Socket(), "--skip-networking",
		"--pid-file=" + c.at.service(databaseService, "run/pid"), "--tmpdir=" + c.at.service(databaseService, "tmp"),
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-log-file-size=16M", "--performance-schema=OFF",
		"--max-connections=500", // each Python process keeps some
		"--character-set-server=utf8mb3",
	}
}

func (c *cloud) sql(ctx context.Context, statement string) error {
	return c.d.Run(ctx, host.Command{
		Argv:  []string{"/usr/bin/mariadb", "--no-defaults", "--socket=" + c.Socket()},
		Stdin: strings.NewReader(statement),
	})
}

// prepareData makes databases with all services' schemas where there are none, or takes them from the cache: making them needs a minute.
func (c *cloud) prepareData(ctx context.Context, users []service) error {
	if c.d.Exists("services/" + databaseService + "/data/" + readyData + "/mysql") {
		return nil
	}
	// A start that was killed has left its server and its migrations, which would go on in what is made here.
	if err := c.d.EndCommands(ctx, databaseService); err != nil {
		return err
	}
	key, err := c.cacheKey(ctx, users)
	if err != nil {
		return err
	}
	path := filepath.Join(c.cache, "databases-"+key+".tar.zst")
	if err := c.d.Remove(ctx, "services/"+databaseService+"/data/"+newData); err != nil {
		return err
	}
	if err := c.d.MkdirAll("services/"+databaseService+"/data/"+newData, 0o700); err != nil {
		return err
	}
	stored, err := os.Open(path)
	if err == nil {
		defer stored.Close()
		unpack := host.Command{Argv: []string{"tar", "-x", "--zstd", "-C", c.data(newData)}, Stdin: stored, Group: databaseService}
		if err := c.d.Run(ctx, unpack); err != nil {
			return fmt.Errorf("unpack the databases of %s; remove it to have them made anew: %w", path, err)
		}
	} else {
		fmt.Fprintf(os.Stderr, "openstack: making the databases once; %s keeps them\n", path)
		if err := c.makeSchemas(ctx, users); err != nil {
			return err
		}
		if err := c.keep(ctx, path); err != nil {
			return err
		}
	}
	return c.d.Run(ctx, host.Command{Argv: []string{"mv", "-T", c.data(newData), c.data(readyData)}})
}

// schemaPackages decide what the schemas are like.
var schemaPackages = []string{
	"mariadb-server-core", "python3-keystone", "python3-glance", "python3-placement", "python3-nova", "python3-neutron",
}

// cacheKey changes with all that the databases depend on. That is not the folder, and no password: neither is in them.
func (c *cloud) cacheKey(ctx context.Context, users []service) (string, error) {
	var versions bytes.Buffer
	query := append([]string{"dpkg-query", "-W", "-f", "${Package} ${Version}\n"}, schemaPackages...)
	if err := c.d.Run(ctx, host.Command{Argv: query, Stdout: &versions}); err != nil {
		return "", &host.Problem{Kind: host.ErrMissing, Thing: "OpenStack", Cause: "is not installed", Err: err,
			WayOut: "scripts/setup --openstack installs it."}
	}
	return cacheKey(versions.String(), c.at.account, c.at.folder, users), nil
}

// cacheKey is pure: it hashes what it is given, without the folder.
func cacheKey(versions, account, folder string, users []service) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", versions, account)
	for _, s := range users {
		for _, m := range s.migrations {
			fmt.Fprintf(sum, "%s %q\n", s.name, strings.ReplaceAll(strings.Join(m.argv, "\x00"), folder, ""))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// keep packs the databases into the cache.
func (c *cloud) keep(ctx context.Context, path string) error {
	return inCache(ctx, path, func(file *os.File) error {
		return c.d.Run(ctx, host.Command{
			Argv: []string{"tar", "-c", "--zstd", "--sparse", "--exclude=./ibtmp1", "-C", c.data(newData), "."}, Stdout: file,
			Group: databaseService,
		})
	})
}

// makeSchemas makes empty databases and has the services' own migrations fill them.
func (c *cloud) makeSchemas(ctx context.Context, users []service) error {
	account := c.at.account
	if err := c.d.Run(ctx, host.Command{Argv: []string{
		"/usr/bin/mariadb-install-db", "--no-defaults", "--datadir=" + c.data(newData), "--skip-test-db", "--innodb-log-file-size=16M",
		// Each server that starts removes what others have in the same folder.
		"--tmpdir=" + c.at.service(databaseService, "tmp"),
		"--auth-root-authentication-method=socket", "--auth-root-socket-user=" + account,
	}, Group: databaseService}); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.d.Run(running, host.Command{Argv: c.mariadbd(newData), Group: databaseService}) }()
	err := c.migrate(ctx, users)
	if err == nil {
		err = c.sql(ctx, "SHUTDOWN")
	}
	if err != nil {
		cancel()
		<-ended
		return err
	}
	defer cancel()
	return <-ended
}

// migrate runs the migrations of all services, two services at a time.
func (c *cloud) migrate(ctx context.Context, users []service) error {
	if err := awaitSQL(ctx, c); err != nil {
		return err
	}
	var create strings.Builder
	for _, s := range users {
		for _, name := range databasesOf(s) {
			fmt.Fprintf(&create, "CREATE DATABASE %s CHARACTER SET utf8mb3;\n", name)
		}
	}
	if err := c.sql(ctx, create.String()); err != nil {
		return err
	}
	together, ctx := errgroup.WithContext(ctx)
	together.SetLimit(2)
	// The longest first.
	ordered := slices.Clone(users)
	slices.SortStableFunc(ordered, func(a, b service) int { return len(b.migrations) - len(a.migrations) })
	for _, s := range ordered {
		together.Go(func() error {
			for _, file := range s.Files {
				if _, err := c.d.WriteFile(filepath.Join("services", s.name, file.Name), file.Content, 0o600); err != nil {
					return err
				}
			}
			for _, m := range s.migrations {
				if err := c.d.Run(ctx, host.Command{Argv: m.argv, Env: m.env, Group: databaseService}); err != nil {
					return fmt.Errorf("make the schema of %s: %w", s.name, err)
				}
			}
			return nil
		})
	}
	return together.Wait()
}

// awaitSQL waits for the server that makes the schemas.
func awaitSQL(ctx context.Context, c *cloud) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		err := c.sql(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for MariaDB: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
