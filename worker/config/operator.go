package config

// Operator is autopkgtest-cloud.conf: where the operator's command finds the cloud. The file that run-autopkgtest has always
// read, the site's configuration, is one too: its other keys are known and left alone.
type Operator struct {
	WebURL string // [web] url: the results site

	// One of the two: [amqp] credentials_file, or [amqp] uri with the account itself.
	BrokerCredentials string
	BrokerURI         Secret

	// For who looks after users, which takes an administrator's account.
	ManagementURL         string // [management] url: the broker's management API
	ManagementCredentials string // [management] credentials_file
	ManagementAuthority   string // [management] ca_file: who vouches for an https address; the system's authorities if empty
}

var operatorSchema = schema{
	"web": {
		"url",
		"database", "database_public", "external_swift_url", "releases", "stats_cache_dir", "ppa_containers_cache_dir",
		"archive_url", "amqp_queue_cache", "running_cache", "alert", "allowed_requestors", "external_web_url",
	},
	"amqp":       {"credentials_file", "uri"},
	"management": {"url", "credentials_file", "ca_file"},
	"swift": {
		"os_auth_url", "os_project_domain_name", "os_username", "os_user_domain_name", "os_project_name", "os_password",
	},
	"github": {"secrets", "status_credentials"},
}

// LoadOperator reads autopkgtest-cloud.conf.
func LoadOperator(path string) (Operator, error) {
	d, err := load(path, operatorSchema)
	if err != nil {
		return Operator{}, err
	}
	return d.operator()
}

// LoadSite reads the site's configuration for what run-autopkgtest needs of it, whatever else it holds and however it is
// written.
func LoadSite(path string) (Operator, error) {
	d, err := loadLoosely(path)
	if err != nil {
		return Operator{}, err
	}
	return d.operator()
}

func (d *document) operator() (Operator, error) {
	o := Operator{
		WebURL:            d.url("web", "url", false),
		BrokerCredentials: d.value("amqp", "credentials_file"),
		BrokerURI:         Secret(d.value("amqp", "uri")),

		ManagementURL:         d.url("management", "url", false),
		ManagementCredentials: d.value("management", "credentials_file"),
		ManagementAuthority:   d.value("management", "ca_file"),
	}
	if o.BrokerCredentials != "" && o.BrokerURI != "" {
		d.fail("amqp", "uri", "credentials_file is given too: one of them")
	}
	if d.err != nil {
		return Operator{}, d.err
	}
	return o, nil
}

// Broker is the broker's account, from the credentials file or from the configuration itself.
func (o Operator) Broker() (Broker, error) {
	if o.BrokerCredentials != "" {
		return ReadBroker(o.BrokerCredentials)
	}
	return ParseBroker(o.BrokerURI.Reveal())
}

// Bytes is the file's content; LoadOperator reads the same Operator back. With a BrokerURI it holds a password.
func (o Operator) Bytes() []byte {
	out := newWriter("where autopkgtest-cloud finds its cloud")
	out.section("web")
	out.key("url", o.WebURL)
	out.section("amqp")
	out.key("credentials_file", o.BrokerCredentials)
	out.key("uri", o.BrokerURI.Reveal())
	if o.ManagementURL != "" || o.ManagementCredentials != "" {
		out.section("management")
		out.key("url", o.ManagementURL)
		out.key("credentials_file", o.ManagementCredentials)
		out.key("ca_file", o.ManagementAuthority)
	}
	return out.bytes()
}
