package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrNoAccount means that a worker's configuration names no account where it needs one.
var ErrNoAccount = errors.New("no account")

func (d *document) brokerAccount() Broker {
	account := Broker{
		Username: d.value("amqp", "user"), Password: Secret(d.value("amqp", "password")), Host: d.value("amqp", "host"),
	}
	if account != (Broker{}) && d.has("amqp", "credentials_file") {
		d.fail("amqp", "credentials_file", "the section has an account of its own; use one of the two")
	}
	if strings.ContainsAny(account.Host, ":/@ ") {
		// Clients of upstream's ignore a port, and what they cannot reach they lose. An account with one has a file.
		d.fail("amqp", "host", "want a host's name or IPv4 address alone; a credentials file can have a port")
	}
	return account
}

func (d *document) storeAccount() Store {
	account := Store{
		AuthURL: d.url("swift", "auth_url", false), Username: d.value("swift", "username"),
		Password: Secret(d.value("swift", "password")), Tenant: d.value("swift", "tenant"), Region: d.value("swift", "region_name"),
	}
	if d.has("swift", "credentials_file") && (account != (Store{}) || d.present("swift", "auth_url")) {
		d.fail("swift", "credentials_file", "the section has an account of its own; use one of the two")
	}
	return account
}

func (b Broker) writeInline(out *writer) {
	out.key("host", b.Host)
	out.key("user", b.Username)
	out.key("password", b.Password.Reveal())
}

func (s Store) writeInline(out *writer, local bool) {
	if local {
		out.keyAlways("auth_url", "")
	}
	out.key("auth_url", s.AuthURL)
	out.key("username", s.Username)
	out.key("password", s.Password.Reveal())
	out.key("tenant", s.Tenant)
	out.key("region_name", s.Region)
}

// HoldsPassword says whether the file itself must be kept from other accounts.
func (w Worker) HoldsPassword() bool {
	return w.BrokerAccount.Password != "" || w.StoreAccount.Password != ""
}

// Broker is the account at the broker: of the credentials file, else of the configuration, and what that leaves open of
// the environment (RABBIT_HOST, RABBIT_USER, RABBIT_PASSWORD). A file is read now, so that a changed password is seen.
func (w Worker) Broker() (Broker, error) { return w.broker(os.Getenv) }

func (w Worker) broker(getenv func(string) string) (Broker, error) {
	if w.BrokerCredentials != "" {
		return ReadBroker(w.BrokerCredentials)
	}
	b := w.BrokerAccount
	b.Host = either(b.Host, getenv("RABBIT_HOST"))
	b.Username = either(b.Username, getenv("RABBIT_USER"))
	b.Password = Secret(either(b.Password.Reveal(), getenv("RABBIT_PASSWORD")))
	missing := missingOf(
		part{"host (RABBIT_HOST)", b.Host}, part{"user (RABBIT_USER)", b.Username},
		part{"password (RABBIT_PASSWORD)", b.Password.Reveal()})
	if missing != "" {
		return Broker{}, fmt.Errorf("%w at the broker: [amqp] has neither a credentials_file nor, here or in the environment, %s",
			ErrNoAccount, missing)
	}
	b.Port, b.VHost = DefaultPort, defaultVHost
	return b, nil
}

// Store is the account at the result store: of the credentials file, else of the configuration, and what that leaves open
// of the environment (SWIFT_AUTH_URL and so on). No account without an error means that results are to stay in the state
// directory: somebody has said so with an empty auth_url or SWIFT_AUTH_URL. Merely forgetting the store is an error,
// because nobody would find the results.
func (w Worker) Store() (account Store, local bool, err error) { return w.store(os.LookupEnv) }

func (w Worker) store(lookup func(string) (string, bool)) (account Store, local bool, err error) {
	if w.StoreCredentials != "" {
		account, err = ReadStore(w.StoreCredentials)
		return account, false, err
	}
	getenv := func(name string) string { value, _ := lookup(name); return value }
	s := w.StoreAccount
	s.AuthURL = strings.TrimRight(either(s.AuthURL, getenv("SWIFT_AUTH_URL")), "/")
	if _, said := lookup("SWIFT_AUTH_URL"); s.AuthURL == "" && (said || w.StoreLocal) {
		return Store{}, true, nil
	}
	s.Username = either(s.Username, getenv("SWIFT_USERNAME"))
	s.Password = Secret(either(s.Password.Reveal(), getenv("SWIFT_PASSWORD")))
	s.Tenant = either(s.Tenant, getenv("SWIFT_PROJECT_NAME"))
	s.UserDomain, s.ProjectDomain = getenv("SWIFT_USER_DOMAIN_NAME"), getenv("SWIFT_PROJECT_DOMAIN_NAME")
	missing := missingOf(
		part{"auth_url (SWIFT_AUTH_URL)", s.AuthURL}, part{"username (SWIFT_USERNAME)", s.Username},
		part{"password (SWIFT_PASSWORD)", s.Password.Reveal()})
	if missing != "" {
		return Store{}, false, fmt.Errorf("%w at the result store: [swift] has neither a credentials_file nor, here or in the "+
			"environment, %s; an empty auth_url keeps results on this machine", ErrNoAccount, missing)
	}
	return s, false, nil
}

func either(first, second string) string {
	if first != "" {
		return first
	}
	return second
}

type part struct{ name, value string }

func missingOf(parts ...part) string {
	var names []string
	for _, p := range parts {
		if p.value == "" {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ", ")
}
