# A broker on one machine, everything else on another, deployed from a third. The passwords of the broker's users are made and kept
# where Terraform runs; each machine gets those that its services need.

terraform {
  required_version = ">= 1.11"
  required_providers {
    autopkgtest = {
      source = "registry.terraform.io/autopkgtest-cloud/autopkgtest"
    }
  }
}

provider "autopkgtest" {
  stack     = var.stack
  directory = var.directory
  system    = var.system
}

locals {
  releases      = [var.release]
  architectures = [var.architecture]
}

# Workers reach the broker from outside, so it listens on an address of its machine's. Its management API stays on loopback there,
# and is reached by way of ssh.
resource "autopkgtest_rabbitmq_server" "broker" {
  host      = var.broker_machine
  directory = var.machine_directory
  listen    = [var.broker_machine.address]
}

resource "autopkgtest_swift_server" "store" {
  host          = var.worker_machine
  directory     = var.machine_directory
  force_destroy = var.results_may_go
}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_request_queues" "queues" {
  broker        = autopkgtest_rabbitmq_server.broker.broker
  releases      = local.releases
  architectures = local.architectures
}

resource "autopkgtest_result_containers" "results" {
  store         = autopkgtest_swift_server.store.store
  releases      = local.releases
  force_destroy = var.results_may_go
}

resource "autopkgtest_broker_user" "britney" {
  broker     = autopkgtest_rabbitmq_server.broker.broker
  name       = "britney"
  role       = "requester"
  rotation   = var.rotation
  depends_on = [autopkgtest_request_queues.queues]
}

resource "autopkgtest_broker_user" "worker" {
  broker   = autopkgtest_rabbitmq_server.broker.broker
  name     = "worker"
  role     = "worker"
  rotation = var.rotation
}

resource "autopkgtest_broker_user" "collector" {
  broker   = autopkgtest_rabbitmq_server.broker.broker
  name     = "collector"
  role     = "collector"
  rotation = var.rotation
}

resource "autopkgtest_worker" "worker" {
  host                    = var.worker_machine
  directory               = var.machine_directory
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  images                  = var.images
  releases                = local.releases
  architectures           = local.architectures

  depends_on = [autopkgtest_broker.broker, autopkgtest_request_queues.queues, autopkgtest_result_containers.results]
}

resource "autopkgtest_web" "web" {
  host                      = var.worker_machine
  directory                 = var.machine_directory
  listen                    = var.worker_machine.address
  broker_credentials_file   = autopkgtest_broker_user.collector.credentials_file
  operator_credentials_file = autopkgtest_broker_user.britney.credentials_file
  storage_url               = autopkgtest_swift_server.store.store.storage_url
  releases                  = local.releases
  architectures             = local.architectures

  depends_on = [autopkgtest_broker.broker, autopkgtest_result_containers.results]
}

data "autopkgtest_health" "cloud" {
  broker                     = autopkgtest_rabbitmq_server.broker.broker
  requester_credentials_file = autopkgtest_broker_user.britney.credentials_file
  store                      = autopkgtest_swift_server.store.store
  web_url                    = autopkgtest_web.web.url

  depends_on = [autopkgtest_web.web, autopkgtest_worker.worker]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = join("\n", self.problems)
    }
  }
}
