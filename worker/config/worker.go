package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Worker is worker.conf, in our own form, in upstream's and in that of 2015: all three say the same things.
type Worker struct {
	// Accounts stand in files of their own, in this file (the form of 2015) or in the environment (upstream's); see Broker
	// and Store.
	BrokerCredentials string        // [amqp] credentials_file
	BrokerAccount     Broker        // [amqp] host, user, password
	DeliveryTimeout   time.Duration // [amqp] delivery_timeout: how long the broker lets us hold a request; 0 for unknown
	StoreCredentials  string        // [swift] credentials_file
	StoreAccount      Store         // [swift] auth_url, username, password, tenant, region_name
	StoreLocal        bool          // [swift] auth_url is there and empty: results stay in the state directory

	// [autopkgtest]
	Releases       []string
	Architectures  []string       // default this machine's
	Contexts       []string       // as request.Context has them: the file's word "normal" is the empty one; default all
	Weights        map[string]int // by context: shares when all have requests waiting
	Slots          int            // tests that run at a time; default 1
	SpoolLimit     int            // results that may wait for the store; default twice the slots, at least 16
	SpoolPatience  time.Duration  // how long a result may wait before the broker may give its request away
	StateDirectory string         // spool, working folders; default DefaultStateDirectory
	Timeout        time.Duration  // the longest that one test may run; default 8 h
	DrainTimeout   time.Duration  // how long SIGTERM lets tests run on; default Timeout

	Backend        string   // a testbed backend's name; default the first word of [virt] args, else unshare
	CheckoutDir    string   // of autopkgtest; empty for the installed one
	ExtraArguments []string // for autopkgtest
	SetupCommand   string   // run in each new testbed
	SetupCommand2  string   // after it
	Debug          bool     // autopkgtest is to say more

	ListDirectory string   // [autopkgtest] per_package_config_dir: big_packages, long_tests, never_run, vm_packages
	BigPackages   []string // [autopkgtest] big_packages, the list itself in the form of 2015
	LongTests     []string // [autopkgtest] long_tests, likewise

	Virt    Virt
	Nova    Nova
	LXC     LXC
	PPA     PPA
	Limits  Limits
	Network Network

	Images       string // [unshare] images: folder that holds RELEASE-ARCH.tar.zst
	HealthListen string // [health] listen: ADDRESS:PORT; empty for none
}

// DefaultTimeout is the longest run when the configuration is silent.
const DefaultTimeout = 8 * time.Hour

// DefaultSpoolPatience outlasts a night without the store. A result waits longer if it must; this is how long the broker's
// delivery timeout has to leave its request with us meanwhile.
const DefaultSpoolPatience = 12 * time.Hour

// DefaultStateDirectory is where a worker keeps its state when the configuration is silent, as upstream's and the one of
// 2015 are.
const DefaultStateDirectory = "/var/lib/autopkgtest-cloud/worker"

// minSpool is room for what ends while the store is away for some minutes.
const minSpool = 16

// normalContext is the file's word for the context whose name is empty.
const normalContext = "normal"

// contexts are request.Contexts; this package does not import that one, so a test keeps the two equal.
var contexts = []string{"", "huge", "ppa", "upstream"}

var workerSchema = schema{
	"amqp":  {"credentials_file", "delivery_timeout", "host", "user", "password"},
	"swift": {"credentials_file", "auth_url", "username", "password", "tenant", "region_name"},
	"autopkgtest": {
		"releases", "architectures", "contexts", "weights", "slots", "spool_limit", "spool_patience", "state_directory", "timeout",
		"drain_timeout", "backend", "checkout_dir", "extra_args", "setup_command", "setup_command2", "debug",
		"per_package_config_dir", "big_packages", "long_tests",
		"retry_delay", // read by nobody, neither here nor upstream
	},
	"virt":    {"args", "package_size_default", "package_size_big"},
	"nova":    {"image_pattern", "flavor", "big_flavor", "novaopts", "rc_files", "key_file"},
	"lxc":     {"container", "lxcopts"},
	"ppa":     {"url", "private_url", "keys"},
	"limits":  {"disk", "files", "log", "memory", "processes"},
	"network": {"allow", "mirror", "proxy", "kind", "range", "range6"},
	"unshare": {"images"},
	"health":  {"listen"},
}

// LoadWorker reads worker.conf.
func LoadWorker(path string) (Worker, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Worker{}, fmt.Errorf("read configuration: %w", err)
	}
	return parseWorker(path, content)
}

func parseWorker(path string, content []byte) (Worker, error) {
	d, err := parse(path, content, workerSchema, keysMayBeBare)
	if err != nil {
		return Worker{}, err
	}
	return d.worker()
}

func (d *document) worker() (Worker, error) {
	const section = "autopkgtest"
	w := Worker{
		BrokerCredentials: d.value("amqp", "credentials_file"),
		BrokerAccount:     d.brokerAccount(),
		DeliveryTimeout:   d.duration("amqp", "delivery_timeout", 0),
		StoreCredentials:  d.value("swift", "credentials_file"),
		StoreAccount:      d.storeAccount(),
		StoreLocal:        d.present("swift", "auth_url") && !d.has("swift", "auth_url"),
		Releases:          d.words(section, "releases"),
		Architectures:     d.architectures(section, "architectures"),
		Contexts:          d.contexts(section, "contexts"),
		Weights:           d.weights(section, "weights"),
		Slots:             d.numberOr(section, "slots", 1, 1),
		StateDirectory:    d.folderOr(section, "state_directory", DefaultStateDirectory),
		SpoolPatience:     d.duration(section, "spool_patience", DefaultSpoolPatience),
		Timeout:           d.duration(section, "timeout", DefaultTimeout),
		CheckoutDir:       d.folderOr(section, "checkout_dir", ""),
		ExtraArguments:    d.quoted(section, "extra_args"),
		SetupCommand:      d.value(section, "setup_command"),
		SetupCommand2:     d.value(section, "setup_command2"),
		Debug:             d.boolean(section, "debug"),
		ListDirectory:     d.folderOr(section, "per_package_config_dir", ""),
		BigPackages:       d.fields(section, "big_packages"),
		LongTests:         d.fields(section, "long_tests"),
		Virt:              d.virt(),
		Nova:              d.nova(),
		LXC:               d.lxc(),
		PPA:               d.ppa(),
		Limits:            d.limits(),
		Network:           d.network(),
		Images:            d.value("unshare", "images"),
		HealthListen:      d.address("health", "listen", false),
	}
	w.SpoolLimit = d.numberOr(section, "spool_limit", 1, max(minSpool, 2*w.Slots))
	w.DrainTimeout = d.duration(section, "drain_timeout", w.Timeout)
	w.Backend = d.backend(w)
	if d.err != nil {
		return Worker{}, d.err
	}
	return w, nil
}

// Bytes is the file's content; LoadWorker reads the same Worker back, defaults filled in. It holds passwords if the
// accounts do.
func (w Worker) Bytes() []byte {
	out := newWriter("autopkgtest-worker's configuration")
	out.section("amqp")
	out.key("credentials_file", w.BrokerCredentials)
	out.duration("delivery_timeout", w.DeliveryTimeout)
	w.BrokerAccount.writeInline(out)
	out.section("swift")
	out.key("credentials_file", w.StoreCredentials)
	w.StoreAccount.writeInline(out, w.StoreLocal)
	out.section("autopkgtest")
	out.list("releases", w.Releases)
	out.list("architectures", w.Architectures)
	out.list("contexts", contextWords(w.Contexts))
	out.list("weights", weightWords(w.Weights))
	out.number("slots", w.Slots)
	out.number("spool_limit", w.SpoolLimit)
	out.duration("spool_patience", w.SpoolPatience)
	out.key("state_directory", w.StateDirectory)
	out.duration("timeout", w.Timeout)
	out.duration("drain_timeout", w.DrainTimeout)
	out.key("backend", w.Backend)
	out.key("checkout_dir", w.CheckoutDir)
	out.key("extra_args", JoinQuoted(w.ExtraArguments))
	out.key("setup_command", w.SetupCommand)
	out.key("setup_command2", w.SetupCommand2)
	if w.Debug {
		out.key("debug", "true")
	}
	out.key("per_package_config_dir", w.ListDirectory)
	out.list("big_packages", w.BigPackages)
	out.list("long_tests", w.LongTests)
	w.Virt.write(out)
	w.Nova.write(out)
	w.LXC.write(out)
	w.PPA.write(out)
	w.Limits.write(out)
	w.Network.write(out)
	out.section("unshare")
	out.key("images", w.Images)
	out.section("health")
	out.key("listen", w.HealthListen)
	return out.bytes()
}

func contextWords(names []string) []string {
	words := slices.Clone(names)
	for i, name := range words {
		if name == "" {
			words[i] = normalContext
		}
	}
	return words
}

func (d *document) contexts(section, key string) []string {
	words := strings.Fields(d.value(section, key))
	if len(words) == 0 {
		return slices.Clone(contexts)
	}
	var names []string
	for _, word := range words {
		name := contextName(word)
		switch {
		case !slices.Contains(contexts, name):
			d.fail(section, key, "unknown context %q: the contexts are %s", word, strings.Join(contextWords(contexts), " "))
		case slices.Contains(names, name):
			d.fail(section, key, "%q is there twice", word)
		}
		names = append(names, name)
	}
	return names
}
