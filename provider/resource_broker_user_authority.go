package provider

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// authority is the certificate of the broker's authority that lies beside the credentials, with its file; both are empty where
// there is none, or the clients read that which the endpoint names.
func (m *brokerUserModel) authority(ctx context.Context) (file, certificate string) {
	e := m.endpoint(ctx)
	if name := e.CAFile.ValueString(); e.CACertificate.ValueString() == "" || name != "" && !machine.IsFar(name) {
		return "", ""
	}
	return config.AuthorityFile(m.CredentialsFile.ValueString()), e.CACertificate.ValueString()
}

// withAuthority are the files of a user's credentials, and the one beside them.
func (m *brokerUserModel) withAuthority(ctx context.Context) []string {
	files := m.files()
	if file, _ := m.authority(ctx); file != "" {
		files = append(files, file)
	}
	return files
}

// handOutAuthority writes the certificate for whoever may read the credentials. It comes first: what they lead to is of no use
// without.
func (c *call[M]) handOutAuthority(ctx context.Context, m *brokerUserModel) error {
	file, certificate := m.authority(ctx)
	if file == "" {
		return nil
	}
	return at(path.Root("credentials_file"), c.writeSecretFile(ctx, file, []byte(certificate), m.Owner.ValueString()))
}

// authorityProblem says in a sentence what is wrong with it.
func (m *brokerUserModel) authorityProblem(ctx context.Context) (string, error) {
	file, certificate := m.authority(ctx)
	if file == "" {
		return "", nil
	}
	there, err := readHere(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the certificate of the broker's authority in " + file + " is gone", nil
	case err != nil:
		return "", at(path.Root("credentials_file"), err)
	case string(there.Content) != certificate:
		return "the file " + file + " is not the certificate of the broker's authority", nil
	}
	owned, err := ownedBy(file, m.Owner.ValueString())
	if err == nil && !owned {
		return "the file " + file + " does not belong to " + m.Owner.ValueString(), nil
	}
	return "", err
}
