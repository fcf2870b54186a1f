# The services, each on its machine.

resource "autopkgtest_rabbitmq_server" "broker" {
  host               = local.hosts["broker"]
  directory          = var.machine_directory
  listen             = [local.inside["broker"]]
  allow_message_loss = var.all_may_go
}

resource "autopkgtest_swift_server" "store" {
  host          = local.hosts["web"]
  directory     = var.machine_directory
  listen        = local.inside["web"]
  force_destroy = var.all_may_go
}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_request_queues" "queues" {
  broker             = autopkgtest_rabbitmq_server.broker.broker
  releases           = local.releases
  architectures      = local.architectures
  contexts           = local.contexts
  allow_message_loss = var.all_may_go
}

resource "autopkgtest_result_containers" "results" {
  store         = autopkgtest_swift_server.store.store
  releases      = local.releases
  force_destroy = var.all_may_go
}

# britney is outside of the project.
resource "autopkgtest_broker_user" "britney" {
  broker          = autopkgtest_rabbitmq_server.broker.broker
  advertised_host = local.outside["broker"]
  name            = "britney"
  role            = "requester"
  depends_on      = [autopkgtest_request_queues.queues]
}

resource "autopkgtest_broker_user" "worker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "worker"
  role   = "worker"
}

resource "autopkgtest_broker_user" "collector" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "collector"
  role   = "collector"
}

resource "autopkgtest_worker" "worker" {
  host                    = local.hosts["worker"]
  directory               = var.machine_directory
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  releases                = local.releases
  architectures           = local.architectures
  contexts                = local.contexts
  slots                   = var.slots
  drain_timeout           = var.drain_timeout

  worker_conf = var.worker_conf
  rc_files    = var.rc_files
  key_file    = "${var.directory}/keys/testbeds"
  key_name    = local.key_name

  depends_on = [
    autopkgtest_broker.broker,
    autopkgtest_request_queues.queues,
    autopkgtest_result_containers.results,
    autopkgtest_keypair.testbeds,
    autopkgtest_security_group.testbeds,
  ]
}

resource "autopkgtest_web" "web" {
  host                    = local.hosts["web"]
  directory               = var.machine_directory
  listen                  = local.inside["web"]
  port                    = var.web_port
  external_url            = "http://${local.outside["web"]}:${var.web_port}/"
  broker_credentials_file = autopkgtest_broker_user.collector.credentials_file
  storage_url             = autopkgtest_swift_server.store.store.storage_url
  releases                = local.releases
  architectures           = local.architectures

  depends_on = [autopkgtest_broker.broker, autopkgtest_result_containers.results]
}
