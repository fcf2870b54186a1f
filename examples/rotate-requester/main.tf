# A broker whose requester, britney say, gets new credentials without a gap: apply with another word for the rotation.

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

resource "autopkgtest_rabbitmq_server" "broker" {
  # An example goes away with what waits in it. Leave this out where requests matter.
  allow_message_loss = true
}

resource "autopkgtest_broker" "broker" {
  broker           = autopkgtest_rabbitmq_server.broker.broker
  require_amqp_0_8 = var.require_amqp_0_8
}

resource "autopkgtest_request_queues" "queues" {
  broker        = autopkgtest_rabbitmq_server.broker.broker
  releases      = [var.release]
  architectures = [var.architecture]

  allow_message_loss = true
}

resource "autopkgtest_broker_user" "requester" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "requester"
  role   = "requester"

  # Another word here is a rotation. The old credentials work on for the grace; "0s" revokes them.
  rotation = var.rotation
  grace    = var.grace

  # Requests to a queue that does not exist are lost without a word.
  depends_on = [autopkgtest_request_queues.queues]
}
