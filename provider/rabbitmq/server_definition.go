package rabbitmq

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// nodeFormat is the version of what definition lays out below services/rabbitmq.
const nodeFormat = 1

// The real scripts. Those of the same name on PATH are Debian's wrappers, which work for root and rabbitmq only, and in
// /var/lib/rabbitmq.
const (
	serverProgram  = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	controlProgram = "/usr/lib/rabbitmq/bin/rabbitmqctl"
	epmdProgram    = "/usr/bin/epmd"
)

// nodeName is that of a node alone. It does not depend on the name of the host, which may change.
const nodeName = "rabbit@localhost"

// dataFolder and, in it, what mnesia keeps; relative to the service's folder. It is called after the node alone, and the same for a
// member of a cluster.
const (
	dataFolder     = "data"
	databaseFolder = dataFolder + "/" + nodeName
)

// cookieFile is where Erlang looks for it: in the home folder, which is the service's.
const cookieFile = ".erlang.cookie"

// definitions make the virtual host that load_definitions keeps RabbitMQ from making itself.
const definitions = `{"vhosts":[{"name":"` + management.VHost + `"}]}` + "\n"

//go:embed files/rabbitmq.conf
var nodeConfigurationText string

//go:embed files/members.conf
var memberConfigurationText string

var (
	nodeConfiguration   = configurationTemplate("rabbitmq.conf", nodeConfigurationText)
	memberConfiguration = configurationTemplate("members.conf", memberConfigurationText)
)

func configurationTemplate(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"add": func(n int) int { return n + 1 }, // the configuration counts from one
	}).Parse(text))
}

// node is where and with which secrets a node runs: all that definition needs. The template reads it.
type node struct {
	Folder          string // of the service, absolute
	Name            string
	Administrator   string
	Cluster         *Cluster // nil for a node alone
	Founds          bool     // whether the next start without data begins the cluster
	Plain           []endpoint
	Secure          []endpoint // over TLS; needs Material
	Management      int        // ports on 127.0.0.1
	Distribution    int        // of a node alone
	EPMD            int
	Cookie          config.Secret // what lets other Erlang nodes in, among them rabbitmqctl
	DeliveryTimeout time.Duration
	Memory          Watermark
	Reserve         uint64
	Log             host.LogLimit

	SecureManagement *endpoint // over TLS, for other machines
	Material         material
}

func (n node) path(name string) string { return filepath.Join(n.Folder, name) }

// Definitions is the path that the template writes.
func (n node) Definitions() string { return n.path("etc/definitions.json") }

// Authority, Certificate and Key are paths that the template writes.
func (n node) Authority() string   { return n.path(authorityFile) }
func (n node) Certificate() string { return n.path(certificateFile) }
func (n node) Key() string         { return n.path(serverKeyFile) }

// definition says what the node consists of. It depends on nothing but n, so that a plan can tell whether what is in the
// folder is what an apply would put there.
func definition(n node) (host.Service, error) {
	var text bytes.Buffer
	if err := nodeConfiguration.Execute(&text, n); err != nil {
		return host.Service{}, fmt.Errorf("write rabbitmq.conf: %w", err)
	}
	files := []host.File{
		{Name: "etc/rabbitmq.conf", Content: text.Bytes()},
		{Name: environmentFile, Content: n.environmentConf()},
		{Name: "etc/enabled_plugins", Content: []byte("[rabbitmq_management].\n")},
		{Name: "etc/definitions.json", Content: []byte(definitions)},
		{Name: cookieFile, Content: []byte(n.Cookie.Reveal()), Perm: 0o400, Secret: true},
	}
	var reads []string
	for _, file := range files {
		reads = append(reads, file.Name)
	}
	if len(n.Secure) > 0 {
		files = append(files, n.Material.files()...)
	}
	if n.Cluster != nil {
		var members bytes.Buffer
		if err := memberConfiguration.Execute(&members, n); err != nil {
			return host.Service{}, fmt.Errorf("write members.conf: %w", err)
		}
		// Read by a node without data alone: nobody is restarted because there is another member.
		files = append(files, host.File{Name: membersFile, Content: members.Bytes()})
	}
	return host.Service{
		Name:    Service,
		Format:  nodeFormat,
		Files:   files,
		Folders: []string{"log"},
		Data:    []string{dataFolder},
		Processes: []host.Process{
			{
				// Left to Erlang, epmd is a daemon that outlives the node, so it is a process of its own.
				Name:   "rabbitmq-epmd",
				Argv:   []string{epmdProgram, "-port", strconv.Itoa(n.EPMD), "-address", n.distributionAddress()},
				Reads:  []string{},
				Listen: []string{loopback(n.EPMD)},
			},
			{
				Name:   "rabbitmq",
				Argv:   []string{serverProgram},
				Env:    n.environment(),
				Reads:  reads,
				Listen: n.listens(),
				Log:    n.Log,
				// It needs six seconds, five of which it waits for its own management plugin; more with full queues.
				StopWait: time.Minute,
			},
		},
	}, nil
}

// listens are all addresses of the node.
func (n node) listens() []string {
	all := append(addressesOf(n.Plain), loopback(n.Management), n.distribution().String())
	all = append(all, addressesOf(n.Secure)...)
	if n.SecureManagement != nil {
		all = append(all, n.SecureManagement.String())
	}
	return all
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// distributionAddress is where the node talks with other nodes, and with rabbitmqctl.
func (n node) distributionAddress() string {
	if n.Cluster != nil {
		return n.Cluster.Address
	}
	return "127.0.0.1"
}

func (n node) distribution() endpoint {
	if n.Cluster != nil {
		return endpoint{n.Cluster.Address, n.Cluster.Port}
	}
	return endpoint{n.distributionAddress(), n.Distribution}
}

// MemberNames are what the template writes.
func (n node) MemberNames() []string {
	var names []string
	for _, address := range n.Cluster.Members {
		names = append(names, NodeName(address))
	}
	return names
}

// erlangFlags are for every Erlang VM: the node, rabbitmqctl, and one that the node starts for a moment to see that epmd
// runs. Each of them would listen on all addresses, and start an epmd of its own that stays when ours is late.
func (n node) erlangFlags() string {
	address := "{" + strings.ReplaceAll(n.distributionAddress(), ".", ",") + "}"
	flags := "-start_epmd false -kernel inet_dist_use_interface " + address
	if n.Cluster != nil {
		// Members know each other by address and port, and mistake clients for members where these are the same.
		flags += " inet_dist_connect_options [{ip," + address + "}]"
	}
	return flags
}

// environment is the same for the node and for rabbitmqctl. Every file that RabbitMQ would look for in /etc/rabbitmq is
// named here, or it would mix the machine's configuration with ours.
func (n node) environment() []string {
	all := []string{
		"HOME=" + n.Folder, // the cookie's place
		"ERL_EPMD_PORT=" + strconv.Itoa(n.EPMD),
		"ERL_EPMD_ADDRESS=" + n.distributionAddress(),
		"ERL_FLAGS=" + n.erlangFlags(),
		// A dump of a large node would keep it down for longer than its restart takes.
		"ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_NODENAME=" + n.Name,
		// Of a member, only looked at before a start, whether anybody listens there on any address of the machine. Its real one may
		// well be taken on the address of another member.
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(n.Distribution),
		"RABBITMQ_CONF_ENV_FILE=" + n.path(environmentFile),
		"RABBITMQ_CONFIG_FILE=" + n.path("etc/rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + n.path("etc/conf.d/*.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + n.path("etc/advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + n.path("etc/enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + n.path("data"),
		"RABBITMQ_LOG_BASE=" + n.path("log"),
		"RABBITMQ_LOGS=-",
		// Makes the script become the node. A shell between the two would leave the node behind when it is killed.
		"RUNNING_UNDER_SYSTEMD=true",
	}
	if n.Cluster == nil {
		return all
	}
	port := fmt.Sprintf("-erl_epmd_port %d", n.Cluster.Port)
	return append(all,
		"RABBITMQ_USE_LONGNAME=true", // a name with an address in it
		"RABBITMQ_MNESIA_DIR="+n.path(databaseFolder),
		// All members have the same port, and nobody asks another machine's epmd for it.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+port,
		"RABBITMQ_CTL_ERL_ARGS="+port+" -dist_listen false",
	)
}

// Files of a member, relative to the service's folder.
const (
	environmentFile = "etc/rabbitmq-env.conf"
	membersFile     = "etc/conf.d/members.conf"
)

// environmentConf says once more who a member is, for people who read it and for configuredNode.
func (n node) environmentConf() []byte {
	if n.Cluster == nil {
		return nil
	}
	return fmt.Appendf(nil, "NODENAME=%s\nUSE_LONGNAME=true\n# the port of the distribution: %d\n", n.Name, n.Cluster.Port)
}
