package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// errNotRotated: the credentials file is not that of a user who can be rotated.
var errNotRotated = errors.New("nothing was rotated")

// administrator is how a command reaches the broker's management API.
type administrator struct {
	url         string // flag --management-url
	credentials string // flag --administrator
	authority   string // flag --ca
}

func (f *administrator) flags(command *cobra.Command) {
	command.Flags().StringVar(&f.url, "management-url", "", "`URL` of the broker's management API, not the configuration's")
	command.Flags().StringVar(&f.credentials, "administrator", "", "use the administrator's account in `FILE`, not the configuration's")
	command.Flags().StringVar(&f.authority, "ca", "", "`FILE` with the authority of an https management API, not the configuration's")
}

// administration finds the management API. The path is the administrator's credentials file.
func (a *app) administration(f administrator) (client *management.Client, path string, err error) {
	if f.url == "" || f.credentials == "" {
		operator, from, err := a.configuration()
		if err != nil {
			return nil, "", err
		}
		if f.url == "" {
			f.url = operator.ManagementURL
		}
		if f.credentials == "" {
			f.credentials = operator.ManagementCredentials
		}
		if f.authority == "" {
			f.authority = operator.ManagementAuthority
		}
		if f.url == "" || f.credentials == "" {
			return nil, "", fmt.Errorf("%w: %s does not say how to look after users: it needs url = http://HOST:15672 and "+
				"credentials_file = FILE, an administrator's, in [management]; or use --management-url and --administrator",
				errConfiguration, from)
		}
	}
	account, err := config.ReadBroker(f.credentials)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errConfiguration, err)
	}
	client, err = management.New(f.url, account.Username, account.Password)
	if err != nil {
		return nil, "", &usageError{err}
	}
	if f.authority != "" {
		authority, err := os.ReadFile(f.authority)
		if err == nil {
			err = client.Trust(authority)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%w: the authority in %s: %w", errConfiguration, f.authority, err)
		}
	}
	return client, f.credentials, nil
}

func (a *app) rotateCommand() *cobra.Command {
	var (
		as     administrator
		grace  time.Duration
		idle   time.Duration
		revoke bool
	)
	command := &cobra.Command{
		Use:   "rotate USER",
		Short: "Give a user of the broker new credentials without a gap, or revoke the old ones",
		Example: `  autopkgtest-cloud rotate britney
  autopkgtest-cloud rotate britney --revoke-now`,
		Long: `Give a user of the broker new credentials. A second user with the same rights is
made, its login is tried, and the credentials file is replaced in one step; then
so is the one for a shell (FILE.sh) that may lie beside it. The old user works on
for its grace, and goes when "autopkgtest-cloud expire" or a terraform apply
finds that its end has come. With --revoke-now it goes at once, and the
connections that use it are closed: for a password that has leaked.

USER is the name that autopkgtest_broker_user gives it; what it is called in the
broker at the moment the file says. Terraform takes the new user for what it had
asked for: the next plan is empty, and the next rotation goes on from here.

The account must be the broker's administrator, and this account must own the
credentials file or be root.

` + ownExitCodeHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("name one user")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			wanted := management.Grace{For: grace}
			set := command.Flags().Changed
			switch {
			case revoke && (set("grace") || set("grace-idle")), set("grace") && set("grace-idle"):
				return usage("--revoke-now, --grace and --grace-idle: one of them")
			case grace < 0:
				return usage("--grace is %s", grace)
			case set("grace-idle") && idle < management.ShortestIdle:
				return usage("--grace-idle is %s, want at least %s", idle, management.ShortestIdle)
			case revoke:
				wanted = management.Grace{}
			case set("grace-idle"):
				wanted = management.Grace{For: idle, Idle: true}
			case !set("grace"):
				return a.rotate(command.Context(), as, args[0], nil)
			}
			return a.rotate(command.Context(), as, args[0], &wanted)
		},
	}
	command.Flags().BoolVar(&revoke, "revoke-now", false, "remove the old user at once and close its connections")
	command.Flags().DurationVar(&grace, "grace", management.DefaultGrace,
		"how long the old user works on;\nan upstream worker's: until it was not used for so long")
	command.Flags().DurationVar(&idle, "grace-idle", 0, "the old user works on until nobody was seen using it for so long")
	command.Flags().StringVar(&a.credentials, "credentials", "",
		"the user's credentials `FILE`; default: the one of its name beside the administrator's")
	as.flags(command)
	command.Flags().SortFlags = false
	return command
}

// rotatedUser is what came of a rotation.
type rotatedUser struct {
	User        string    `json:"user"` // of the broker
	Credentials string    `json:"credentials_file"`
	Old         []oldUser `json:"old"`
}

type oldUser struct {
	User    string    `json:"user"`
	Ends    time.Time `json:"ends,omitzero"`
	Idle    string    `json:"unless_used_within,omitempty"`
	Removed bool      `json:"removed"`
}

// rotate gives a user new credentials. Without a grace the old one has that of its role.
func (a *app) rotate(ctx context.Context, as administrator, name string, grace *management.Grace) error {
	client, beside, err := a.administration(as)
	if err != nil {
		return err
	}
	file := a.credentials
	if file == "" {
		file = filepath.Join(filepath.Dir(beside), name)
	}
	account, key, err := config.ReadBrokerKey(file)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfiguration, err)
	}
	if key == "" {
		key = config.KeyURI
	}
	files, err := formsOf(file, key)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfiguration, err)
	}
	family, err := client.Family(ctx, name)
	if err != nil {
		return err
	}
	before, err := current(family, account.Username, file)
	if err != nil {
		return err
	}
	if grace == nil {
		usual, err := usualGrace(ctx, client, before.Name())
		if err != nil {
			return err
		}
		grace = &usual
	}
	next := family.Next(before.Rotation)
	account.Username, account.Password = next.Name(), config.NewSecret()
	if err := client.Succeed(ctx, next, before, management.HashPassword(account.Password)); err != nil {
		return err
	}
	if err := a.proveLogin(ctx, account); err != nil {
		return errors.Join(err, client.DeleteUser(ctx, next.Name()))
	}
	for i, form := range files {
		err := config.ReplaceCredentials(form.path, account.File(form.key))
		switch {
		case err != nil && i == 0:
			return errors.Join(err, client.DeleteUser(ctx, next.Name()))
		case err != nil:
			return fmt.Errorf("%s has the new credentials, and goes on with both; a terraform apply mends the other file: %w", file, err)
		}
	}
	old := family.Members
	removed, err := client.Retire(ctx, old, *grace)
	if err != nil {
		return fmt.Errorf("%s has the new credentials, and the old user could not be given an end; a terraform apply does that: %w",
			file, err)
	}
	done := rotatedUser{User: next.Name(), Credentials: file, Old: []oldUser{}}
	for _, m := range old {
		o := oldUser{User: m.Name(), Ends: m.Ends, Removed: slices.Contains(removed, m.Name())}
		if m.Idle != 0 {
			o.Idle = m.Idle.String()
		}
		done.Old = append(done.Old, o)
	}
	return a.printRotated(done)
}

// form is a file with a user's credentials, and the key of its line.
type form struct{ path, key string }

// formsOf are a credentials file and the one for a shell that may lie beside it, both of which can be replaced.
func formsOf(file, key string) ([]form, error) {
	forms := []form{{file, key}}
	if _, err := os.Lstat(config.ShellFile(file)); err == nil {
		forms = append(forms, form{config.ShellFile(file), config.ShellKey(key)})
	}
	for _, form := range forms {
		if err := config.CheckReplaceable(form.path); err != nil {
			return nil, err
		}
	}
	return forms, nil
}

// current finds the user that a credentials file holds, which must be one that stays.
func current(family management.Family, held, file string) (management.Member, error) {
	m, found := family.Member(held)
	if found && !m.Ending() {
		return m, nil
	}
	what := "is no user of that name which autopkgtest_broker_user has made"
	if found {
		what = "goes at " + m.Ends.Format(time.RFC3339)
	}
	var others []string
	for _, m := range family.Members {
		if !m.Ending() {
			others = append(others, m.Name())
		}
	}
	if len(others) > 0 {
		what += "; the one that stays is " + strings.Join(others, ", ")
	}
	return m, fmt.Errorf("%w: %s holds the credentials of %s, which %s. A terraform apply mends that", errNotRotated, file, held, what)
}

// usualGrace is that of a user's role, which one can tell by what the user may do.
func usualGrace(ctx context.Context, client *management.Client, user string) (management.Grace, error) {
	may, err := client.Permissions(ctx, user)
	for _, role := range management.Roles {
		if err == nil && may == role.Permissions() {
			return role.Grace(), nil
		}
	}
	return management.Grace{For: management.DefaultGrace}, err
}

// proveLogin tries credentials before anybody is given them.
func (a *app) proveLogin(ctx context.Context, account config.Broker) error {
	session, err := a.dial(ctx, account)
	if err != nil {
		return fmt.Errorf("the new credentials were tried, and are not handed out: %w", err)
	}
	return session.Close()
}

func (a *app) printRotated(done rotatedUser) error {
	if a.json {
		return a.printJSON(done)
	}
	fmt.Fprintf(a.out, "%s now holds the credentials of %s.\n", done.Credentials, done.User)
	for _, o := range done.Old {
		switch {
		case o.Removed:
			fmt.Fprintf(a.out, "%s is gone, and its connections are closed.\n", o.User)
		case o.Idle != "":
			fmt.Fprintf(a.out, "%s goes when nobody has used it for %s.\n", o.User, o.Idle)
		default:
			fmt.Fprintf(a.out, "%s goes at %s.\n", o.User, o.Ends.Format(time.RFC3339))
		}
	}
	return nil
}
