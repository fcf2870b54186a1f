package openstack

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

const (
	dialLimit = 10 * time.Second
	// answerLimit bounds the wait for the begin of an answer. Glance answers an upload when it has stored the image.
	answerLimit = 5 * time.Minute
	// tokenLimit bounds a login: Keystone answers in a second even when it is busy.
	tokenLimit = time.Minute
)

// Sessions are the logins of a process. The zero value is ready, and safe for concurrent use; one serves the whole process.
type Sessions struct {
	// Observe is told of every request that was answered, or was not, if it is set. It is called from many goroutines, with the
	// context of the call.
	Observe func(context.Context, Request)

	mu   sync.Mutex
	kept map[string]*session
}

// Region returns a region of a cloud, the same for the same cloud. Nothing is asked of the cloud yet: the login happens with the first
// call, and all regions that are reached with the same account share it. secure is how to speak to the cloud, as
// [cloudrc.Cloud.TLS] says; nil for what the machine knows. A cloud without its secret is a [cloudrc.Problem].
func (s *Sessions) Region(c cloudrc.Cloud, secure *tls.Config) (*Region, error) {
	if err := c.Complete(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := accountKey(c)
	one, there := s.kept[key]
	if !there {
		one = &session{cloud: c, transport: s.transport(secure), regions: map[string]*Region{}}
		if s.kept == nil {
			s.kept = map[string]*session{}
		}
		s.kept[key] = one
	}
	place := c.Region + " " + c.Interface
	if one.regions[place] == nil {
		one.regions[place] = &Region{cloud: c, session: one}
	}
	return one.regions[place], nil
}

func (s *Sessions) transport(secure *tls.Config) http.RoundTripper {
	return &observed{observe: s.Observe, base: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       secure,
		TLSHandshakeTimeout:   dialLimit,
		DialContext:           (&net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}).DialContext,
		ResponseHeaderTimeout: answerLimit,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
	}}
}

// accountKey is the same for clouds that are reached with the same account in the same way. It tells nothing of the secrets in it.
func accountKey(c cloudrc.Cloud) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{
		c.AuthURL, string(c.Method), c.Username, c.UserID, c.UserDomain.ID, c.UserDomain.Name,
		c.ProjectName, c.ProjectID, c.ProjectDomain.ID, c.ProjectDomain.Name,
		c.Password.Reveal(), c.Token.Reveal(), c.Credential.ID, c.Credential.Name, c.Credential.Secret.Reveal(),
		c.CAFile, c.CertificateFile, c.KeyFile, map[bool]string{true: "insecure"}[c.Insecure],
	}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// session is one account's login, made when it is first needed. A login that failed is tried anew by the next caller.
type session struct {
	cloud     cloudrc.Cloud // the first region's; the account is the same for all
	transport http.RoundTripper
	regions   map[string]*Region // guarded by the mutex of Sessions

	mu       sync.Mutex
	provider *gophercloud.ProviderClient
}

// login returns the client, which renews its token by itself when the cloud does not accept it any more.
func (s *session) login(ctx context.Context) (*gophercloud.ProviderClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider != nil {
		return s.provider, nil
	}
	provider, err := openstack.NewClient(s.cloud.AuthURL)
	if err != nil {
		return nil, err
	}
	provider.HTTPClient = http.Client{Transport: s.transport}
	provider.UserAgent.Prepend("autopkgtest-cloud")
	provider.RetryFunc = retry
	provider.RetryBackoffFunc = retryLater
	limited, cancel := context.WithTimeout(ctx, tokenLimit)
	defer cancel()
	if err := openstack.Authenticate(limited, provider, authOptions(s.cloud)); err != nil {
		return nil, err
	}
	s.provider = provider
	return provider, nil
}

func authOptions(c cloudrc.Cloud) gophercloud.AuthOptions {
	options := gophercloud.AuthOptions{IdentityEndpoint: c.AuthURL}
	switch c.Method {
	case cloudrc.MethodCredential: // has the project in itself
		options.ApplicationCredentialID, options.ApplicationCredentialName = c.Credential.ID, c.Credential.Name
		options.ApplicationCredentialSecret = c.Credential.Secret.Reveal()
		if c.Credential.ID == "" {
			options.Username, options.UserID = c.Username, c.UserID
			options.DomainID, options.DomainName = exclusive(c.UserDomain, c.UserID)
		}
		options.AllowReauth = true
		return options
	case cloudrc.MethodToken: // cannot be renewed
		options.TokenID = c.Token.Reveal()
	default:
		options.UserID, options.Password = c.UserID, c.Password.Reveal()
		if c.UserID == "" {
			options.Username = c.Username
		}
		options.DomainID, options.DomainName = exclusive(c.UserDomain, c.UserID)
		options.AllowReauth = true
	}
	if c.ProjectID != "" {
		options.Scope = &gophercloud.AuthScope{ProjectID: c.ProjectID}
	} else if c.ProjectName != "" {
		scope := &gophercloud.AuthScope{ProjectName: c.ProjectName}
		scope.DomainID, scope.DomainName = exclusive(c.ProjectDomain, "")
		options.Scope = scope
	}
	return options
}

// exclusive is a domain as gophercloud wants it: an id or a name, and neither beside the id of what is in the domain.
func exclusive(d cloudrc.Domain, id string) (domainID, domainName string) {
	switch {
	case id != "":
		return "", ""
	case d.ID != "":
		return d.ID, ""
	}
	return "", d.Name
}

// catalog is what services the cloud offers, by the catalog of the login.
func catalog(provider *gophercloud.ProviderClient) *tokens.ServiceCatalog {
	result, ok := provider.GetAuthResult().(interface {
		ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
	})
	if !ok {
		return &tokens.ServiceCatalog{}
	}
	found, err := result.ExtractServiceCatalog()
	if err != nil {
		return &tokens.ServiceCatalog{}
	}
	return found
}
