package management

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// saltLength is what RabbitMQ puts before the digest in a password hash, in bytes.
const saltLength = 4

// User is a user of the broker's own database.
type User struct {
	Name         string
	PasswordHash string // base64 of salt and digest; empty for a user who cannot log in with a password
	Algorithm    string // of the digest, in RabbitMQ's words; empty means SHA-256
	Tags         []string
}

// HashPassword returns the salted hash that PutUser sends, so that the password itself never leaves this process.
func HashPassword(password config.Secret) string {
	return rabbithole.Base64EncodedSaltedPasswordHashSHA256(password.Reveal())
}

// HasPassword says whether password opens the user's account.
func (u User) HasPassword(password config.Secret) bool {
	stored, err := base64.StdEncoding.DecodeString(u.PasswordHash)
	if err != nil || len(stored) <= saltLength {
		return false
	}
	salted := append(bytes.Clone(stored[:saltLength]), password.Reveal()...)
	var digest []byte
	switch rabbithole.HashingAlgorithm(u.Algorithm) {
	case rabbithole.HashingAlgorithmSHA256, "":
		sum := sha256.Sum256(salted)
		digest = sum[:]
	case rabbithole.HashingAlgorithmSHA512:
		sum := sha512.Sum512(salted)
		digest = sum[:]
	default:
		return false // MD5, from before 3.6: set anew
	}
	return subtle.ConstantTimeCompare(stored[saltLength:], digest) == 1
}

// User returns a user, or ErrNotFound.
func (m *Client) User(ctx context.Context, name string) (User, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (User, error) {
		info, err := c.GetUser(name)
		if err != nil {
			return User{}, err
		}
		return User{
			Name:         info.Name,
			PasswordHash: info.PasswordHash,
			Algorithm:    info.HashingAlgorithm.String(),
			Tags:         withoutEmpty(info.Tags),
		}, nil
	})
}

// Users returns the names of all users.
func (m *Client) Users(ctx context.Context) ([]string, error) {
	return answer(m, ctx, func(c *rabbithole.Client) ([]string, error) {
		infos, err := c.ListUsers()
		if err != nil {
			return nil, err
		}
		var names []string
		for _, info := range infos {
			names = append(names, info.Name)
		}
		return names, nil
	})
}

// ErrNoPassword is returned by PutUser for a user without a hash.
var ErrNoPassword = errors.New("a user is written whole: without a password hash the broker would drop its password")

// PutUser makes or replaces a user. The API replaces the whole user, so the hash must always be there: a call with tags
// alone is answered with success and locks the user out.
func (m *Client) PutUser(ctx context.Context, u User) error {
	if u.PasswordHash == "" {
		return ErrNoPassword
	}
	algorithm := rabbithole.HashingAlgorithm(u.Algorithm)
	if algorithm == "" {
		algorithm = rabbithole.HashingAlgorithmSHA256
	}
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.PutUser(u.Name, rabbithole.UserSettings{
			Name: u.Name, Tags: u.Tags, PasswordHash: u.PasswordHash, HashingAlgorithm: algorithm,
		}))
	})
}

// DeleteUser removes a user and its permissions. A user that is not there is success.
func (m *Client) DeleteUser(ctx context.Context, name string) error {
	return gone(m.call(ctx, func(c *rabbithole.Client) error { return closing(c.DeleteUser(name)) }))
}

// Permissions are a user's rights in a virtual host, as the patterns of the names that it may configure, write and read.
type Permissions struct {
	Configure string
	Write     string
	Read      string
}

// Permissions returns what a user may do in VHost, or ErrNotFound when nothing was ever granted.
func (m *Client) Permissions(ctx context.Context, user string) (Permissions, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (Permissions, error) {
		info, err := c.GetPermissionsIn(VHost, user)
		if err != nil {
			return Permissions{}, err
		}
		return Permissions{Configure: info.Configure, Write: info.Write, Read: info.Read}, nil
	})
}

// PutPermissions grants exactly p in VHost.
func (m *Client) PutPermissions(ctx context.Context, user string, p Permissions) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.UpdatePermissionsIn(VHost, user, rabbithole.Permissions(p)))
	})
}

func closing(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func gone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
