package provider

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func shellFileAttribute() schema.Attribute {
	return schema.StringAttribute{
		Computed: true,
		MarkdownDescription: "Path of a second 0600 file with a requester's credentials, for what sources them: the line `export " +
			"ADT_AMQP='amqp://USER:PASSWORD@HOST'`. It lies beside `credentials_file`, with `.sh` behind its name, has the same owner, " +
			"and is replaced with it. Null for other roles.",
	}
}

// planShellFile: who requests tests may be a script.
func (m *brokerUserModel) planShellFile() {
	switch {
	case m.Role.IsUnknown() || m.CredentialsFile.IsUnknown():
		m.ShellFile = types.StringUnknown()
	case m.Role.ValueString() == string(management.Requester):
		m.ShellFile = types.StringValue(config.ShellFile(m.CredentialsFile.ValueString()))
	default:
		m.ShellFile = types.StringNull()
	}
}

// files are the paths of a user's credentials.
func (m *brokerUserModel) files() []string {
	var files []string
	for _, file := range []types.String{m.CredentialsFile, m.ShellFile} {
		if file.ValueString() != "" {
			files = append(files, file.ValueString())
		}
	}
	return files
}

// handOut writes the credentials. Each file is replaced in one step, and while one of them is not yet, what it holds still works.
func (c *call[M]) handOut(ctx context.Context, m *brokerUserModel, account brokerAccount, key string) error {
	for i, file := range m.files() {
		if i > 0 {
			key = config.ShellKey(key)
		}
		if err := c.writeSecretFile(ctx, file, account.File(key), m.Owner.ValueString()); err != nil {
			return at(path.Root("credentials_file"), err)
		}
	}
	return nil
}

// withdraw removes those of some files that a user no longer has.
func (c *call[M]) withdrawFiles(ctx context.Context, files, kept []string) error {
	for _, file := range files {
		if slices.Contains(kept, file) {
			continue
		}
		if err := c.removeFile(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// shellProblem says in a sentence what is wrong with the shell's file; account is what the other one holds.
func (m *brokerUserModel) shellProblem(account brokerAccount) (string, error) {
	file := m.ShellFile.ValueString()
	if file == "" {
		return "", nil
	}
	account.Others = "" // a shell knows one place
	there, err := config.ReadBroker(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the shell's file " + file + " is gone", nil
	case errors.Is(err, config.ErrExposed):
		return "the password file " + file + " could be read by others: the password will be replaced", nil
	case errors.Is(err, config.ErrInvalid):
		return "the shell's file " + file + " is damaged", nil
	case err != nil:
		return "", at(path.Root("credentials_file"), err)
	case there != account:
		return "the shell's file " + file + " holds other credentials than " + m.CredentialsFile.ValueString(), nil
	}
	owned, err := ownedBy(file, m.Owner.ValueString())
	if err == nil && !owned {
		return "the shell's file " + file + " does not belong to " + m.Owner.ValueString(), nil
	}
	return "", err
}

// leaked says whether others can read a shell's file, so that the password in it is one no more.
func (m *brokerUserModel) leaked() bool {
	if m == nil || m.ShellFile.ValueString() == "" {
		return false
	}
	_, err := config.ReadBroker(m.ShellFile.ValueString())
	return errors.Is(err, config.ErrExposed)
}
