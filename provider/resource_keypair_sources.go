package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// keyPairNameOf is the name that the model asks for. known is false while the file that names it is not there.
func (s *settings) keyPairNameOf(ctx context.Context, given, file types.String) (name string, known bool, err error) {
	if given.IsUnknown() || file.IsUnknown() {
		return "", false, nil
	}
	if file.IsNull() {
		return given.ValueString(), true, nil
	}
	where := path.Root("worker_conf")
	content, err := s.readFile(ctx, file.ValueString())
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, at(where, err)
	}
	found, err := config.ParseKeyName(file.ValueString(), content)
	if err == nil {
		err = checkKeyPairName(found.Name)
	}
	if err != nil {
		return "", false, at(where, &problem{
			title: "No name of a key pair in " + file.ValueString(), err: err,
			detail: "Correct the file; or write the name as name, without worker_conf.",
		})
	}
	if !given.IsNull() && given.ValueString() != found.Name {
		return "", false, at(path.Root("name"), &problem{
			title: "Two names for one key pair",
			detail: fmt.Sprintf("name is %q, and %s has --keyname=%s: the worker would ask for a key pair that is not there. Write the "+
				"same name in both, or leave name out.", given.ValueString(), found.Place, found.Name),
		})
	}
	return found.Name, true, nil
}

// keyOf is the key that is there. It is nil where one is still to be made: then why says it. wait is true where it is in a file that
// something else has still to make.
func (s *settings) keyOf(ctx context.Context, m *keyPairModel, given types.String) (
	key *deployed.PublicKey, why string, wait bool, err error) {
	file, where := m.PublicKeyFile, path.Root("public_key_file")
	if !m.PrivateKeyFile.IsNull() {
		file, where = m.PrivateKeyFile, path.Root("private_key_file")
	}
	if file.IsUnknown() || file.IsNull() && given.IsUnknown() {
		return nil, "", true, nil
	}
	var found deployed.PublicKey
	switch {
	case !m.PrivateKeyFile.IsNull():
		private, why, err := s.privateKeyOf(file.ValueString())
		if err != nil || why != "" {
			return nil, why, false, at(where, err)
		}
		found = private.Public
	case !file.IsNull():
		content, err := s.readFile(ctx, file.ValueString())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", true, nil
		}
		if err == nil {
			found, err = deployed.ParsePublicKey(string(content))
		}
		if err != nil {
			return nil, "", false, at(where, &problem{
				title: "No public key in " + file.ValueString(), detail: "Correct the file.", err: err,
			})
		}
	default:
		if found, err = deployed.ParsePublicKey(given.ValueString()); err != nil {
			return nil, "", false, at(path.Root("public_key"), err)
		}
	}
	return &found, "", false, nil
}

// privateKeyOf reads a private key. why says why another one is to be made, if one is: only a key that we have made is given up.
func (s *settings) privateKeyOf(file string) (key deployed.PrivateKey, why string, err error) {
	read, err := readHere(file)
	if errors.Is(err, fs.ErrNotExist) {
		return key, "the private key " + file + " is gone", nil
	}
	if err != nil {
		return key, "", err
	}
	key, err = deployed.ReadPrivateKey(read.Content, s.stack)
	if err != nil {
		return key, "", &problem{
			title:  "The file " + file + " cannot be used",
			detail: "Name another file, or move this one away: where there is none, a key is made.",
			err:    err,
		}
	}
	if err := config.CheckMode(file, read.Mode); err != nil {
		if key.Ours {
			return key, fmt.Sprintf("the private key %s has the mode %04o and could be read by others", file, read.Mode.Perm()), nil
		}
		return key, "", &problem{
			title: "The private key " + file + " could be read by others", err: err,
			detail: "It was not made here, so it is not replaced: make another one, or move it away.",
		}
	}
	return key, "", nil
}

// hand gives a private key that is there to its owner.
func (c *call[M]) hand(ctx context.Context, m *keyPairModel) error {
	where, owner := path.Root("private_key_file"), m.Owner.ValueString()
	file := m.PrivateKeyFile.ValueString()
	if right, err := ownedBy(file, owner); err != nil || right {
		return at(where, err)
	}
	read, err := readHere(file)
	if err == nil {
		err = c.writeSecretFile(ctx, file, read.Content, owner)
	}
	return at(where, err)
}

// removeKeyFile removes a private key that we have made. Any other stays.
func (c *call[M]) removeKeyFile(ctx context.Context, file string) error {
	if file == "" {
		return nil
	}
	read, err := readHere(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return at(path.Root("private_key_file"), err)
	}
	if key, err := deployed.ReadPrivateKey(read.Content, c.stack); err == nil && key.Ours {
		return at(path.Root("private_key_file"), c.removeFile(ctx, file))
	}
	return nil
}
