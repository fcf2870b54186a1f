# A broker of several servers, on which every request is kept: any one of them may be lost, with its disk.

terraform {
  required_version = ">= 1.11"
  required_providers {
    autopkgtest = {
      source = "registry.terraform.io/autopkgtest-cloud/autopkgtest"
    }
  }
}

variable "members" {
  type = map(object({
    address   = string
    directory = string
  }))
  description = "The servers by name: the address at which the others reach each, and its folder. Three, or five."
}

variable "cookie_file" {
  type        = string
  description = "Path of the secret that the servers share. A file that is not there is made."
}

provider "autopkgtest" {
  stack = "cluster"
}

resource "autopkgtest_rabbitmq_server" "member" {
  for_each  = var.members
  directory = each.value.directory
  cluster = {
    address     = each.value.address
    members     = [for name in sort(keys(var.members)) : var.members[name].address]
    cookie_file = var.cookie_file
  }
}

locals {
  # What follows is made through the first, and is then on all.
  broker = autopkgtest_rabbitmq_server.member[sort(keys(var.members))[0]].broker
}

resource "autopkgtest_broker" "broker" {
  broker     = local.broker
  mirrors    = "all"
  depends_on = [autopkgtest_rabbitmq_server.member]
}

resource "autopkgtest_request_queues" "queues" {
  broker        = local.broker
  releases      = ["bookworm"]
  architectures = ["amd64"]
  depends_on    = [autopkgtest_broker.broker]
}

resource "autopkgtest_broker_user" "worker" {
  broker           = local.broker
  name             = "worker"
  role             = "worker"
  credentials_file = "${var.members[sort(keys(var.members))[0]].directory}/credentials/worker"
  depends_on       = [autopkgtest_broker.broker]
}

output "worker_credentials_file" {
  value       = autopkgtest_broker_user.worker.credentials_file
  description = "The worker's credentials: a line for each server."
}
