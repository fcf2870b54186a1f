# A whole test cloud on this machine, in one folder: for trying it out, and for the project's own tests.

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
}

locals {
  releases      = [var.release]
  architectures = [var.architecture]
}

# Requests live in the broker, results live in the store, and nothing else is precious.

resource "autopkgtest_rabbitmq_server" "broker" {
  delivery_timeout = "48h"

  # A cloud for trying things out goes away with what waits in it. Leave this out where requests matter.
  allow_message_loss = true
}

resource "autopkgtest_swift_server" "store" {
  # The same for results.
  force_destroy = true
}

# No default credentials, and the exchanges that all clients declare. RabbitMQ 4 and later cannot serve britney: see the
# variable require_amqp_0_8.
resource "autopkgtest_broker" "broker" {
  broker           = autopkgtest_rabbitmq_server.broker.broker
  require_amqp_0_8 = var.require_amqp_0_8
}

# Each user may do what its role needs, and its password is in its file alone.

resource "autopkgtest_broker_user" "britney" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "britney"
  role   = "requester"
  owner  = var.britney_account

  # Requests to a queue that does not exist are lost without a word.
  depends_on = [autopkgtest_request_queues.queues]
}

resource "autopkgtest_broker_user" "operator" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "operator"
  role   = "operator"

  depends_on = [autopkgtest_request_queues.queues]
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

resource "autopkgtest_request_queues" "queues" {
  broker        = autopkgtest_rabbitmq_server.broker.broker
  releases      = local.releases
  architectures = local.architectures

  allow_message_loss = true
}

resource "autopkgtest_result_containers" "results" {
  store    = autopkgtest_swift_server.store.store
  releases = local.releases

  force_destroy = true
}

resource "autopkgtest_testbed_image" "image" {
  release      = var.release
  architecture = var.architecture
  mirror       = var.mirror
  cache        = var.image_cache
}

resource "autopkgtest_worker" "worker" {
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  images                  = [autopkgtest_testbed_image.image.path]
  releases                = local.releases
  architectures           = local.architectures
  slots                   = var.slots

  # Running tests get this long to finish when the worker is updated or removed; then they go back into their queue.
  drain_timeout = var.drain_timeout

  depends_on = [
    autopkgtest_broker.broker,
    autopkgtest_request_queues.queues,
    autopkgtest_result_containers.results,
  ]
}

resource "autopkgtest_web" "web" {
  broker_credentials_file   = autopkgtest_broker_user.collector.credentials_file
  operator_credentials_file = autopkgtest_broker_user.operator.credentials_file
  broker                    = autopkgtest_rabbitmq_server.broker.broker
  storage_url               = autopkgtest_swift_server.store.store.storage_url
  releases                  = local.releases
  architectures             = local.architectures

  depends_on = [
    autopkgtest_broker.broker,
    autopkgtest_result_containers.results,
  ]
}

# Every plan and every apply ends with a look at the whole: a request is published with britney's own credentials, in her
# dialect, and seen to arrive. What a plan changes is looked at when it was applied.
data "autopkgtest_health" "cloud" {
  broker                     = autopkgtest_rabbitmq_server.broker.broker
  requester_credentials_file = autopkgtest_broker_user.britney.credentials_file
  require_amqp_0_8           = var.require_amqp_0_8
  store                      = autopkgtest_swift_server.store.store
  web_url                    = autopkgtest_web.web.url

  depends_on = [
    autopkgtest_rabbitmq_server.broker,
    autopkgtest_swift_server.store,
    autopkgtest_broker.broker,
    autopkgtest_broker_user.britney,
    autopkgtest_broker_user.collector,
    autopkgtest_request_queues.queues,
    autopkgtest_result_containers.results,
    autopkgtest_web.web,
  ]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = "The test cloud does not work:\n${join("\n", self.problems)}"
    }
  }
}
