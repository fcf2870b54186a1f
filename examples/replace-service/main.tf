# A broker and a store, each of which can be replaced while it is in use: what they hold stays.

terraform {
  required_version = ">= 1.11"
  required_providers {
    autopkgtest = {
      source = "registry.terraform.io/autopkgtest-cloud/autopkgtest"
    }
  }
}

variable "directory" {
  type        = string
  description = "Folder of the stack, an absolute path."
}

provider "autopkgtest" {
  stack     = "replace"
  directory = var.directory
}

resource "autopkgtest_rabbitmq_server" "broker" {}

resource "autopkgtest_swift_server" "store" {}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_request_queues" "queues" {
  broker        = autopkgtest_rabbitmq_server.broker.broker
  releases      = ["bookworm"]
  architectures = ["amd64"]
}

resource "autopkgtest_broker_user" "britney" {
  broker     = autopkgtest_rabbitmq_server.broker.broker
  name       = "britney"
  role       = "requester"
  depends_on = [autopkgtest_request_queues.queues]
}

resource "autopkgtest_broker_user" "worker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "worker"
  role   = "worker"
}

resource "autopkgtest_result_containers" "results" {
  store    = autopkgtest_swift_server.store.store
  releases = ["bookworm"]
}

output "britney_credentials_file" {
  value       = autopkgtest_broker_user.britney.credentials_file
  description = "Britney's credentials."
}

output "worker_credentials_file" {
  value       = autopkgtest_broker_user.worker.credentials_file
  description = "The worker's credentials."
}
