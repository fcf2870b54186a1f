// Package rabbitmq keeps a RabbitMQ node in a stack's folder: processes below the stack's supervisor, run as the stack's
// account, that listen on loopback unless told otherwise and keep everything below services/rabbitmq. Start reading at
// [Apply].
//
// Several such nodes, each in a folder of its own and normally on a machine of its own, can be a [Cluster].
//
// The package knows nothing of Terraform. What lives in a broker, whoever installed it, is set up with worker/management.
package rabbitmq

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Service is the name of the service in the stack's folder.
const Service = "rabbitmq"

// DefaultDeliveryTimeout is far above what a worker with the default timeout may take for a request.
const DefaultDeliveryTimeout = 48 * time.Hour

// shortestDeliveryTimeout is the interval at which a node looks for overdue deliveries.
const shortestDeliveryTimeout = time.Minute

// longestDeliveryTimeout is a year. Erlang's timers know no more than 49 days, but a node compares times instead.
const longestDeliveryTimeout = 365 * 24 * time.Hour

// DefaultReserve is five times RabbitMQ's own default, which is less than what it writes before it looks again.
const DefaultReserve = 256 << 20

// Settings are what an operator may choose for a node in a stack's folder.
type Settings struct {
	// DeliveryTimeout is how long a request may stay unacknowledged before the node takes it away from its worker. Zero
	// means DefaultDeliveryTimeout.
	DeliveryTimeout time.Duration
	// Listen are the IP addresses on which AMQP is spoken; the first is told to clients. Empty means the stack's own, on
	// loopback.
	Listen []string
	// Port is AMQP's. Zero means 5672 or, on the stack's own address, what its folder has chosen, which is normally the same.
	Port int
	// TLS is nil if there is none.
	TLS *TLS
	// Memory is where the node begins to hold publishers back. Zero means DefaultWatermark.
	Memory Watermark
	// Reserve is the room in bytes that the node leaves free on its file system: with less it takes no messages. Zero
	// means DefaultReserve.
	Reserve uint64
	// Log bounds what is kept of the node's log. Zero means host's default.
	Log host.LogLimit
	// Cluster is nil for a node alone. A node that has data is never made a member, or one alone.
	Cluster *Cluster
}

// CheckDeliveryTimeout refuses what a node cannot be told, or takes for something else.
func CheckDeliveryTimeout(timeout time.Duration) error {
	if timeout >= shortestDeliveryTimeout && timeout <= longestDeliveryTimeout && timeout%time.Millisecond == 0 {
		return nil
	}
	return &host.Problem{
		Kind: host.ErrInvalid, Thing: "the delivery timeout " + timeout.String(), Cause: "cannot be used",
		WayOut: fmt.Sprintf("Use %s to %s, in whole milliseconds, and more than the longest test may take", shortestDeliveryTimeout,
			longestDeliveryTimeout),
	}
}

func (s Settings) filled() (Settings, error) {
	if s.DeliveryTimeout == 0 {
		s.DeliveryTimeout = DefaultDeliveryTimeout
	}
	if s.Reserve == 0 {
		s.Reserve = DefaultReserve
	}
	if s.Memory == (Watermark{}) {
		s.Memory = DefaultWatermark
	}
	if s.TLS != nil {
		filled := s.TLS.filled()
		s.TLS = &filled
	}
	if s.Cluster != nil {
		filled := s.Cluster.filled()
		s.Cluster = &filled
		if err := filled.Check(); err != nil {
			return s, err
		}
		if len(s.Listen) == 0 {
			s.Listen = []string{filled.Address}
		}
	}
	if err := host.CheckListen(s.Listen); err != nil {
		return s, err
	}
	if err := CheckDeliveryTimeout(s.DeliveryTimeout); err != nil {
		return s, err
	}
	if s.Port < 0 || s.Port > 65535 {
		return s, &host.Problem{
			Kind: host.ErrInvalid, Thing: fmt.Sprintf("the port %d", s.Port), Cause: "does not exist",
			WayOut: "Use 1 to 65535, or 0 for the standard port",
		}
	}
	return s, nil
}

// Info is what others need to know of a node in a stack's folder.
type Info struct {
	Present bool
	// Problem is a sentence that says why the node does not serve as it should; empty if all is well.
	Problem string
	// Warning is a sentence that says what a client will not be able to do; empty if there is nothing.
	Warning string
	// Host and Port are where AMQP is spoken.
	Host string
	Port int
	// ManagementURL is the address of the management API, for management.New.
	ManagementURL string
	// AMQPS is where AMQP is spoken over TLS, HOST:PORT; empty where it is not.
	AMQPS string
	// ManagementTLSURL is the address of the management API for other machines; empty if it is on loopback only.
	ManagementTLSURL string
	// AuthorityFile is the certificate that vouches for the node, for clients over TLS.
	AuthorityFile string
	// Authority is what is in that file, in PEM form; empty if it is lost.
	Authority string
	// CredentialsFile is the path of the administrator's credentials, for config.ReadBroker; readable by the stack's
	// account alone.
	CredentialsFile string
	// Administrator is the user in that file.
	Administrator string
	// DeliveryTimeout is the one that the node runs with. Apply has asked the node itself.
	DeliveryTimeout time.Duration
	// Incarnation names this set of data. Another one means that all users and queues, and the requests in these, are
	// gone.
	Incarnation string
}

// info has what is known without looking.
func info(d *host.Directory, s Settings) Info {
	address, port, standard := d.AMQP()
	i := Info{
		Host: address, Port: port,
		ManagementURL:   managementURL(d),
		CredentialsFile: d.Path(administratorFile),
		Administrator:   s.administrator(),
	}
	if len(s.Listen) > 0 {
		i.Host, i.Port, standard = reachable(d, s.Listen[0]), host.AMQPPort, true
	}
	if s.TLS != nil {
		i.AMQPS = endpoint{i.Host, s.TLS.Port}.String()
		i.AuthorityFile = d.ServicePath(Service, authorityFile)
		if s.TLS.Management != "" {
			i.ManagementTLSURL = "https://" + endpoint{reachable(d, s.TLS.Management), s.TLS.ManagementPort}.String()
		}
	}
	switch {
	case s.Port != 0:
		i.Port = s.Port
		if s.Port != host.AMQPPort {
			i.Warning = fmt.Sprintf("the broker listens on port %d as it was told to: "+
				"clients that ignore the port of a broker's address, as britney does, cannot reach it", s.Port)
		}
	case !standard:
		i.Warning = fmt.Sprintf("something on this machine holds port %d on all addresses, so the broker listens on port %d: "+
			"clients that ignore the port of a broker's address, as britney does, cannot reach it", host.AMQPPort, port)
	}
	return i
}

// managementURL is on loopback, whoever the clients are.
func managementURL(d *host.Directory) string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port(host.RoleManagement)))
}
