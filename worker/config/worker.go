package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Worker is worker.conf.
type Worker struct {
	BrokerCredentials string        // [amqp] credentials_file
	DeliveryTimeout   time.Duration // [amqp] delivery_timeout: how long the broker lets us hold a request; 0 for unknown
	StoreCredentials  string        // [swift] credentials_file

	// [autopkgtest]
	Releases       []string
	Architectures  []string
	Contexts       []string      // as request.Context has them: the file's word "normal" is the empty one; default all
	Slots          int           // tests that run at a time
	StateDirectory string        // spool, working folders
	Timeout        time.Duration // the longest that one test may run; default 8 h
	DrainTimeout   time.Duration // how long SIGTERM lets tests run on; default Timeout

	Images       string // [unshare] images: folder that holds RELEASE-ARCH.tar.zst
	HealthListen string // [health] listen: ADDRESS:PORT; empty for none
}

// DefaultTimeout is the longest run when the configuration is silent.
const DefaultTimeout = 8 * time.Hour

// normalContext is the file's word for the context whose name is empty.
const normalContext = "normal"

// contexts are request.Contexts; this package imports nothing of ours, so a test keeps the two equal.
var contexts = []string{"", "huge", "ppa", "upstream"}

var workerSchema = schema{
	"amqp":  {"credentials_file", "delivery_timeout"},
	"swift": {"credentials_file"},
	"autopkgtest": {
		"releases", "architectures", "contexts", "slots", "state_directory", "timeout", "drain_timeout",
	},
	"unshare": {"images"},
	"health":  {"listen"},
}

// LoadWorker reads worker.conf.
func LoadWorker(path string) (Worker, error) {
	d, err := load(path, workerSchema)
	if err != nil {
		return Worker{}, err
	}
	w := Worker{
		BrokerCredentials: d.text("amqp", "credentials_file"),
		DeliveryTimeout:   d.duration("amqp", "delivery_timeout", 0),
		StoreCredentials:  d.text("swift", "credentials_file"),
		Releases:          d.words("autopkgtest", "releases"),
		Architectures:     d.words("autopkgtest", "architectures"),
		Contexts:          d.contexts("autopkgtest", "contexts"),
		Slots:             d.number("autopkgtest", "slots", 1),
		StateDirectory:    d.text("autopkgtest", "state_directory"),
		Timeout:           d.duration("autopkgtest", "timeout", DefaultTimeout),
		Images:            d.text("unshare", "images"),
		HealthListen:      d.address("health", "listen", false),
	}
	w.DrainTimeout = d.duration("autopkgtest", "drain_timeout", w.Timeout)
	if d.err != nil {
		return Worker{}, d.err
	}
	return w, nil
}

// Bytes is the file's content; LoadWorker reads the same Worker back, defaults filled in.
func (w Worker) Bytes() []byte {
	out := newWriter("autopkgtest-worker's configuration")
	out.section("amqp")
	out.key("credentials_file", w.BrokerCredentials)
	out.duration("delivery_timeout", w.DeliveryTimeout)
	out.section("swift")
	out.key("credentials_file", w.StoreCredentials)
	out.section("autopkgtest")
	out.list("releases", w.Releases)
	out.list("architectures", w.Architectures)
	out.list("contexts", contextWords(w.Contexts))
	out.key("slots", strconv.Itoa(w.Slots))
	out.key("state_directory", w.StateDirectory)
	out.duration("timeout", w.Timeout)
	out.duration("drain_timeout", w.DrainTimeout)
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
		name := word
		if word == normalContext {
			name = ""
		}
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
