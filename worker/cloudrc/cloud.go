package cloudrc

import (
	"fmt"
	"strings"
)

// A Method is how one logs in.
type Method string

// The methods that are known.
const (
	MethodPassword   Method = "password"
	MethodToken      Method = "token"
	MethodCredential Method = "application credential"
)

// Interfaces of a service, as Cloud.Interface has them.
const (
	InterfacePublic   = "public"
	InterfaceInternal = "internal"
	InterfaceAdmin    = "admin"
)

// Domain is one of the Identity service; the zero Domain is none. An ID counts before a name.
type Domain struct{ ID, Name string }

// defaultDomain is where OpenStack's clients look for users and projects of which nobody says the domain.
const defaultDomain = "default"

// Credential is an application credential. It has the project in itself.
type Credential struct {
	ID, Name string
	Secret   Secret
}

// Cloud is what one region of a cloud is reached with. An ID counts before the name beside it.
type Cloud struct {
	// Source is where all this comes from, for messages: a path, with the entry of a clouds.yaml.
	Source string
	// AuthURL is the Identity service to log in to. It ends in /v3: no Keystone since 2018 speaks v2.0, and gophercloud would
	// speak just that with a URL that ends so. One without a version gets it, too, so that nobody has to ask for the versions and
	// is sent to an address that is the service's own idea of itself.
	AuthURL string
	// GivenURL is that URL as the source has it.
	GivenURL string
	// Region is empty where the source names none.
	Region string
	// Interface is one of the three that are named above; public unless the source says another.
	Interface string

	Method           Method
	Username, UserID string
	// UserDomain is set with Username: the domain with the ID "default" unless the source says another.
	UserDomain             Domain
	ProjectName, ProjectID string
	// ProjectDomain is the same for ProjectName.
	ProjectDomain Domain
	// Password is empty where the source asks for it or leaves it out; see Complete and WithPassword.
	Password   Secret
	Token      Secret
	Credential Credential

	// CAFile is the absolute path of certificates to believe in, instead of those that the machine knows. See TLS.
	CAFile string
	// CertificateFile and KeyFile are what the client shows of itself; both or none.
	CertificateFile, KeyFile string
	// Insecure says that the source wants certificates of the cloud not to be verified. Whoever connects warns; see Warnings.
	Insecure bool

	// SecretFiles are the names of the sources which hold a secret of this cloud.
	SecretFiles []string

	missing *Problem // the secret
}

// Complete says what is missing to log in: a Problem that is ErrNoSecret where the source asks for the password, or has none.
func (c Cloud) Complete() error {
	if c.missing == nil {
		return nil
	}
	return c.missing
}

// WithPassword answers the source's question: it fills in the password, or what the application credential needs, where that is
// missing. What the source holds itself stays.
func (c Cloud) WithPassword(password Secret) Cloud {
	if c.missing == nil || password == "" {
		return c
	}
	switch c.Method {
	case MethodPassword:
		c.Password = password
	case MethodCredential:
		c.Credential.Secret = password
	case MethodToken:
		c.Token = password
	}
	c.missing = nil
	return c
}

// String names the cloud for messages: region, service, project, user, and where it comes from.
func (c Cloud) String() string {
	var b strings.Builder
	if c.Region != "" {
		fmt.Fprintf(&b, "region %s of ", c.Region)
	}
	fmt.Fprintf(&b, "cloud %s (", c.AuthURL)
	for _, part := range []struct{ what, name, id string }{
		{"project", c.ProjectName, c.ProjectID}, {"user", c.Username, c.UserID},
		{"application credential", c.Credential.Name, c.Credential.ID},
	} {
		if part.name == "" {
			part.name = part.id
		}
		if part.name != "" {
			fmt.Fprintf(&b, "%s %s, ", part.what, part.name)
		}
	}
	fmt.Fprintf(&b, "from %s)", c.Source)
	return b.String()
}

// Warnings are sentences that whoever connects owes to the operator.
func (c Cloud) Warnings() []string {
	if !c.Insecure {
		return nil
	}
	return []string{fmt.Sprintf("Certificates of %s are not verified, because %s says so: whoever sits between can read the password "+
		"and answer in the cloud's place. Take the setting out, and name the cloud's authority as OS_CACERT or cacert.", c, c.Source)}
}
