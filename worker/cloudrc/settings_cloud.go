package cloudrc

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// cloud makes a Cloud of the settings.
func (s *settings) cloud() (Cloud, error) {
	c := Cloud{
		Source:   s.label,
		GivenURL: s.text("auth_url"),
		Region:   s.text("region_name"),
		Username: s.text("username"), UserID: s.text("user_id", "userid"),
		ProjectName: s.text("project_name", "tenant_name"), ProjectID: s.text("project_id", "tenant_id"),
	}
	c.AuthURL = s.identity(c.GivenURL)
	c.Interface = s.anInterface()
	c.Method = s.method()
	s.needed(c)
	s.domains(&c)
	s.secrets(&c)
	s.tls(&c)
	if s.err != nil {
		return Cloud{}, s.err
	}
	return c, nil
}

// methods are the words for auth_type that mean one of ours.
var methods = map[string]Method{
	"password": MethodPassword, "v3password": MethodPassword, "v2password": MethodPassword,
	"token": MethodToken, "v3token": MethodToken, "v2token": MethodToken,
	"v3applicationcredential": MethodCredential,
}

// method guesses as clients do where no type is given: a password unless there is only something else.
func (s *settings) method() Method {
	for _, key := range []string{"trust_id", "system_scope"} {
		if given := s.take(key); given.text != "" {
			s.fail(given, ErrInvalid, s.name(key)+" asks for a kind of login that is not known here",
				"use a password or an application credential of the project itself, and take the line out")
		}
	}
	if given := s.take("auth_type", "auth_plugin"); given.text != "" {
		method, known := methods[given.text]
		if !known {
			s.fail(given, ErrInvalid, s.name("auth_type")+" is a kind of login that is not known here",
				"use "+strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		}
		return method
	}
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { v := s.values[key]; return v.text != "" || v.typed })
	}
	switch {
	case has("password"):
	case has("application_credential_id", "application_credential_name"):
		return MethodCredential
	case has("token", "auth_token") && !has("username", "user_id", "userid"):
		return MethodToken
	}
	return MethodPassword
}

// needed looks for what no cloud is reached without.
func (s *settings) needed(c Cloud) {
	var missing []string
	example := ""
	lacks := func(key, note string) {
		missing = append(missing, s.name(key)+note)
		if example == "" {
			example = s.write(key)
		}
	}
	if c.GivenURL == "" {
		lacks("auth_url", "")
	}
	if c.Method == MethodPassword && c.Username == "" && c.UserID == "" {
		lacks("username", "")
	}
	if c.Method != MethodCredential && c.ProjectName == "" && c.ProjectID == "" {
		lacks("project_name", " (or "+s.name("project_id")+")")
	}
	if c.Method == MethodCredential && s.text("application_credential_id") == "" {
		switch {
		case s.text("application_credential_name") == "":
			lacks("application_credential_id", "")
		case c.Username == "" && c.UserID == "":
			lacks("username", " (only a credential's ID goes without)")
		}
	}
	if len(missing) == 0 {
		return
	}
	verb, wayOut := " are missing", "write what is missing, for example as "+example
	if len(missing) == 1 {
		verb, wayOut = " is missing", "write it, as "+example
	}
	if len(s.values) == 0 {
		wayOut = "is it the file of a cloud? The dashboard gives it out on its page «API Access», as «OpenStack RC File»"
	}
	s.fail(setting{}, ErrInvalid, strings.Join(missing, " and ")+verb, wayOut)
}

var versionPattern = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)?$`)

// identity makes the URL of Identity's version 3 of what is given.
func (s *settings) identity(given string) string {
	if given == "" {
		return ""
	}
	at := s.values["auth_url"]
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(given, "{}") {
		s.fail(at, ErrInvalid, s.name("auth_url")+" is no address of an Identity service", "write it as https://HOST:5000/v3")
		return ""
	}
	if u.User != nil {
		s.fail(at, ErrInvalid, s.name("auth_url")+" holds a user or a password",
			"take them out, and give them as "+s.name("username")+" and "+s.name("password"))
		return ""
	}
	folder := strings.TrimRight(u.Path, "/")
	if versionPattern.MatchString(path.Base(folder)) {
		folder = strings.TrimRight(path.Dir(folder), "/.")
	}
	if slices.ContainsFunc(strings.Split(folder, "/"), versionPattern.MatchString) {
		s.fail(at, ErrInvalid, s.name("auth_url")+" goes on after the version", "end it with the version, as https://HOST:5000/v3")
		return ""
	}
	u.Path, u.RawPath = folder+"/v3", ""
	return u.String()
}

func (s *settings) anInterface() string {
	given := s.take("interface", "endpoint_type")
	word := strings.TrimSuffix(strings.ToLower(given.text), "url")
	switch word {
	case "":
		return InterfacePublic
	case InterfacePublic, InterfaceInternal, InterfaceAdmin:
		return word
	}
	s.fail(given, ErrInvalid, s.name("interface")+" is none of a service's interfaces", "write public, internal or admin")
	return ""
}

func (s *settings) domains(c *Cloud) {
	user := Domain{ID: s.text("user_domain_id"), Name: s.text("user_domain_name")}
	project := Domain{ID: s.text("project_domain_id"), Name: s.text("project_domain_name")}
	both := Domain{ID: s.text("domain_id"), Name: s.text("domain_name")}
	if both == (Domain{}) {
		both = Domain{ID: s.text("default_domain_id", "default_domain"), Name: s.text("default_domain_name")}
	}
	if both == (Domain{}) {
		both.ID = defaultDomain
	}
	choose := func(own Domain, name string) Domain {
		if own == (Domain{}) && name != "" {
			return both
		}
		return own
	}
	c.UserDomain, c.ProjectDomain = choose(user, c.Username), choose(project, c.ProjectName)
	if c.ProjectID != "" && project == (Domain{}) {
		c.ProjectDomain = Domain{} // the ID says it
	}
}

// secrets fills in what logs in, and remembers what is missing.
func (s *settings) secrets(c *Cloud) {
	key := map[Method]string{MethodPassword: "password", MethodToken: "token", MethodCredential: "application_credential_secret"}[c.Method]
	if key == "" {
		return // the method is wrong already
	}
	secret := s.take(key)
	if c.Method == MethodToken {
		secret = s.take(key, "auth_token")
	}
	switch c.Method {
	case MethodPassword:
		c.Password = Secret(secret.text)
	case MethodToken:
		c.Token = Secret(secret.text)
	case MethodCredential:
		c.Credential = Credential{
			ID: s.text("application_credential_id"), Name: s.text("application_credential_name"), Secret: Secret(secret.text),
		}
		c.ProjectName, c.ProjectID, c.ProjectDomain = "", "", Domain{} // it has a project, and no other can be asked for
	}
	switch {
	case secret.typed:
		c.missing = &Problem{
			Source: secret.source, Line: secret.line, kind: ErrNoSecret,
			Cause: s.name(key) + " is asked for at the terminal", WayOut: "hand the password over as an argument",
		}
	case secret.text == "":
		c.missing = &Problem{
			Source: s.source, Line: s.line, kind: ErrNoSecret,
			Cause:  fmt.Sprintf("%s is missing", s.name(key)),
			WayOut: "write it, as " + s.write(key) + ", or hand it over as an argument",
		}
	}
	// Others of the cloud's secrets that lie in the files make those no less secret.
	for _, key := range secretKeys {
		if v := s.values[key]; v.text != "" && !slices.Contains(c.SecretFiles, v.source) {
			c.SecretFiles = append(c.SecretFiles, v.source)
		}
	}
}

func (s *settings) tls(c *Cloud) {
	for _, file := range []struct {
		key  string
		path *string
	}{{"cacert", &c.CAFile}, {"cert", &c.CertificateFile}, {"key", &c.KeyFile}} {
		given := s.take(file.key)
		if given.text != "" && !path.IsAbs(given.text) {
			s.fail(given, ErrInvalid, fmt.Sprintf("%s = %q is relative, and to what differs from run to run",
				s.name(file.key), given.text), "write the path in full")
		}
		*file.path = given.text
	}
	if (c.CertificateFile == "") != (c.KeyFile == "") {
		s.fail(setting{}, ErrInvalid, s.name("cert")+" and "+s.name("key")+" belong together, and one is missing", "write both, or none")
	}
	if given := s.take("insecure"); given.text != "" {
		c.Insecure = s.truth("insecure", given)
	}
	if given := s.take("verify"); given.text != "" && !s.truth("verify", given) {
		c.Insecure = true
	}
}

// truth reads a word for yes or no. Clients differ in what they take; of those words all that any of them takes mean the same.
func (s *settings) truth(key string, given setting) bool {
	switch strings.ToLower(given.text) {
	case "true", "yes", "on", "1", "y", "t":
		return true
	case "false", "no", "off", "0", "n", "f":
		return false
	}
	s.fail(given, ErrInvalid, s.name(key)+" is neither yes nor no", "write true or false")
	return false
}
