package config

// Collector is collector.conf.
type Collector struct {
	BrokerCredentials string // [amqp] credentials_file
	StoreURL          string // [store] url: public base above the containers, read anonymously

	// [autopkgtest]
	Releases      []string
	Architectures []string

	// [web]
	Listen      string // ADDRESS:PORT
	Database    string // path of the index
	ExternalURL string // how people reach the site; links in pages begin with it
}

var collectorSchema = schema{
	"amqp":        {"credentials_file"},
	"store":       {"url"},
	"autopkgtest": {"releases", "architectures"},
	"web":         {"listen", "database", "external_url"},
}

// LoadCollector reads collector.conf.
func LoadCollector(path string) (Collector, error) {
	d, err := load(path, collectorSchema)
	if err != nil {
		return Collector{}, err
	}
	c := Collector{
		BrokerCredentials: d.text("amqp", "credentials_file"),
		StoreURL:          d.url("store", "url", true),
		Releases:          d.words("autopkgtest", "releases"),
		Architectures:     d.words("autopkgtest", "architectures"),
		Listen:            d.address("web", "listen", true),
		Database:          d.text("web", "database"),
		ExternalURL:       d.url("web", "external_url", true),
	}
	if d.err != nil {
		return Collector{}, d.err
	}
	return c, nil
}

// Bytes is the file's content; LoadCollector reads the same Collector back.
func (c Collector) Bytes() []byte {
	out := newWriter("autopkgtest-collector's configuration")
	out.section("amqp")
	out.key("credentials_file", c.BrokerCredentials)
	out.section("store")
	out.key("url", c.StoreURL)
	out.section("autopkgtest")
	out.list("releases", c.Releases)
	out.list("architectures", c.Architectures)
	out.section("web")
	out.key("listen", c.Listen)
	out.key("database", c.Database)
	out.key("external_url", c.ExternalURL)
	return out.bytes()
}
