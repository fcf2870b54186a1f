// Package rabbitmq keeps a RabbitMQ node in a stack's folder: processes below the stack's supervisor, run as the stack's
// account, that listen on loopback only and keep everything below services/rabbitmq. Start reading at [Apply].
//
// The package knows nothing of Terraform. What lives in a broker, whoever installed it, is set up with worker/management. It
// does not make clusters.
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

// DefaultReserve is five times RabbitMQ's own default, which is less than what it writes before it looks again.
const DefaultReserve = 256 << 20

// Settings are what an operator may choose for a node in a stack's folder.
type Settings struct {
	// DeliveryTimeout is how long a request may stay unacknowledged before the node takes it away from its worker. Zero
	// means DefaultDeliveryTimeout.
	DeliveryTimeout time.Duration
	// Port is AMQP's, on the stack's own address. Zero means what the stack's folder has chosen, normally 5672.
	Port int
	// Reserve is the room in bytes that the node leaves free on its file system: with less it takes no messages. Zero
	// means DefaultReserve.
	Reserve uint64
}

func (s Settings) filled() (Settings, error) {
	if s.DeliveryTimeout == 0 {
		s.DeliveryTimeout = DefaultDeliveryTimeout
	}
	if s.Reserve == 0 {
		s.Reserve = DefaultReserve
	}
	if s.DeliveryTimeout < shortestDeliveryTimeout || s.DeliveryTimeout%time.Millisecond != 0 {
		return s, &host.Problem{
			Kind: host.ErrInvalid, Thing: "the delivery timeout " + s.DeliveryTimeout.String(), Cause: "cannot be used",
			WayOut: "Use at least " + shortestDeliveryTimeout.String() + ", in whole milliseconds, " +
				"and more than the longest test may take",
		}
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
	// CredentialsFile is the path of the administrator's credentials, for config.ReadBroker; readable by the stack's
	// account alone.
	CredentialsFile string
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
		ManagementURL:   "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port(host.RoleManagement))),
		CredentialsFile: d.Path(administratorFile),
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
