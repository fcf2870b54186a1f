package config

import (
	"io/fs"
	"strings"
)

// Store is an account at the result store.
type Store struct {
	AuthURL    string // where to log in, http://HOST:PORT/auth/v1.0
	Username   string // ACCOUNT:USER
	Password   Secret
	StorageURL string // public base above the containers, http://HOST:PORT/v1/AUTH_ACCOUNT; Keystone tells it itself

	// Of a Keystone account alone. A tenant without domains is version 2's, with them it is version 3's project.
	Tenant        string
	Region        string
	UserDomain    string
	ProjectDomain string
}

var storeSchema = schema{"swift": {"auth_url", "username", "password", "storage_url"}}

// ReadStore reads a store's credentials file.
func ReadStore(path string) (Store, error) {
	content, err := readCredentials(path)
	if err != nil {
		return Store{}, err
	}
	return decodeStore(path, content)
}

// DecodeStore is ReadStore for a file that somebody else has read, on another machine; the name is for messages.
func DecodeStore(name string, content []byte, mode fs.FileMode) (Store, error) {
	if err := CheckMode(name, mode); err != nil {
		return Store{}, err
	}
	return decodeStore(name, content)
}

func decodeStore(path string, content []byte) (Store, error) {
	d, err := parse(path, content, storeSchema, keysHaveValues)
	if err != nil {
		return Store{}, err
	}
	s := Store{
		AuthURL:    d.url("swift", "auth_url", true),
		Username:   d.text("swift", "username"),
		Password:   Secret(d.text("swift", "password")),
		StorageURL: d.url("swift", "storage_url", true),
	}
	if d.err != nil {
		return Store{}, d.err
	}
	return s, nil
}

// Bytes is the content of a credentials file. It holds the password: write it with mode 0600.
func (s Store) Bytes() []byte {
	out := newWriter("an account at the result store: keep it readable by its owner alone")
	out.section("swift")
	out.key("auth_url", strings.TrimRight(s.AuthURL, "/"))
	out.key("username", s.Username)
	out.key("password", s.Password.Reveal())
	out.key("storage_url", strings.TrimRight(s.StorageURL, "/"))
	return out.bytes()
}
