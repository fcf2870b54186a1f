resource "autopkgtest_rabbitmq_server" "main" {
  # Longer than any delivery lives: a worker acknowledges a request when its result is safe, not before.
  delivery_timeout = "48h"
}

# Reached from other machines as well, beside plain AMQP over TLS with a generated certificate. The first address is the one that
# the credentials files of users name.
resource "autopkgtest_rabbitmq_server" "network" {
  directory = "/srv/autopkgtest-network"
  listen    = ["192.0.2.10", "127.0.0.1"]
  tls = {
    names             = ["broker.example.org"]
    management_listen = "192.0.2.10"
  }
  memory_watermark = "2G"
  disk_free_limit  = "1G"
}

# For clients over TLS on other machines.
output "broker_ca" {
  value = file(autopkgtest_rabbitmq_server.network.tls_endpoint.ca_file)
}
