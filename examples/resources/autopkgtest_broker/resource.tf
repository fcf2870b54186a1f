resource "autopkgtest_broker" "main" {
  broker = autopkgtest_rabbitmq_server.main.broker
}

# One that somebody else installed, with an administrator of another name than guest.
resource "autopkgtest_broker" "theirs" {
  broker = {
    management_url   = "https://broker.example.org:15671"
    ca_file          = "/etc/ssl/certs/broker-ca.pem"
    credentials_file = "/etc/autopkgtest-cloud/broker-admin"
  }
  max_connections = 1000
  max_queues      = 2000
}
