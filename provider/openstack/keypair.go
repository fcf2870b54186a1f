package openstack

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// LookAtKeyPair finds a key pair; nil if there is none of the name.
func (i *Inventory) LookAtKeyPair(ctx context.Context, name string) (*cloud.KeyPair, error) {
	all, err := i.keyPairs.all(ctx, i.KeyPairs)
	for n := range all {
		if all[n].Name == name {
			return &all[n], err
		}
	}
	return nil, err
}

// EnsureKeyPair has a key pair of the name with a key. known is the key if it exists already; otherwise fresh is called, once it is
// certain that it will be used. A pair of that name with another key is replaced if ours says that it may be, and otherwise refused
// before anything is changed or made.
func (i *Inventory) EnsureKeyPair(ctx context.Context, name string, ours bool, known *PublicKey,
	fresh func() (PublicKey, error)) (PublicKey, error) {
	defer i.busy.Take("key pair " + name)()
	defer i.keyPairs.drop()
	there, err := i.KeyPair(ctx, name)
	if err = cloud.UnlessGone(err); err != nil {
		return PublicKey{}, err
	}
	if there != nil && !ours && (known == nil || known.Fingerprint() != there.Fingerprint) {
		return PublicKey{}, i.foreign(there, known)
	}
	var key PublicKey
	if known != nil {
		key = *known
	} else if key, err = fresh(); err != nil {
		return PublicKey{}, err
	}
	if there != nil && there.Fingerprint == key.Fingerprint() {
		return key, nil
	}
	if there != nil {
		if err := i.deleteKeyPair(ctx, name); err != nil {
			return PublicKey{}, err
		}
	}
	return key, i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
		return keypairs.Create(ctx, client, keypairs.CreateOpts{Name: name, PublicKey: key.Line()}).Err
	})
}

// foreign is the refusal to replace what others may use.
func (i *Inventory) foreign(there *cloud.KeyPair, known *PublicKey) error {
	ours := "is still to be made"
	if known != nil {
		ours = "has the fingerprint " + known.Fingerprint()
	}
	return in(FieldName, i.NewError(cloud.ErrConflict, cloud.Compute,
		fmt.Sprintf("there is a key pair %q with another key: its fingerprint is %s, and the key here %s", there.Name, there.Fingerprint,
			ours),
		"take another name; or give the key that it has; or, if nobody needs it, remove it with: openstack keypair delete "+there.Name))
}

func (i *Inventory) deleteKeyPair(ctx context.Context, name string) error {
	return cloud.UnlessGone(i.Do(ctx, cloud.Compute, func(client *gophercloud.ServiceClient) error {
		return keypairs.Delete(ctx, client, name, nil).ExtractErr()
	}))
}

// RemoveKeyPair removes a key pair that has the key of this fingerprint. One with another key stays, and is returned; one that is gone
// is no error.
func (i *Inventory) RemoveKeyPair(ctx context.Context, name, fingerprint string) (stays *cloud.KeyPair, err error) {
	defer i.busy.Take("key pair " + name)()
	defer i.keyPairs.drop()
	there, err := i.KeyPair(ctx, name)
	if err != nil {
		return nil, cloud.UnlessGone(err)
	}
	if there.Fingerprint != fingerprint {
		return there, nil
	}
	return nil, i.deleteKeyPair(ctx, name)
}
