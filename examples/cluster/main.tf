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
    directory = optional(string)
    host = optional(object({
      address       = string
      port          = optional(number)
      user          = optional(string)
      identity_file = optional(string)
      host_key      = optional(string)
    }))
  }))
  description = "The servers by name: the address at which the others reach each, its folder, and its machine. Three, or five."
}

variable "system" {
  type        = bool
  default     = false
  description = "Put the servers onto their machines as a whole: systemd runs them and starts them at boot."
}

variable "directory" {
  type        = string
  description = "Folder that is there on the machine where Terraform runs, for the passwords of the broker's users."
}

variable "cookie_file" {
  type        = string
  description = "Path of the secret that the servers share. One that is not there is made, but for servers on other machines."
}

provider "autopkgtest" {
  stack  = "cluster"
  system = var.system
}

resource "autopkgtest_rabbitmq_server" "member" {
  for_each  = var.members
  host      = each.value.host
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
  credentials_file = "${var.directory}/worker"
  depends_on       = [autopkgtest_broker.broker]
}

resource "autopkgtest_broker_user" "operator" {
  broker           = local.broker
  name             = "operator"
  role             = "operator"
  credentials_file = "${var.directory}/operator"
  depends_on       = [autopkgtest_request_queues.queues]
}

output "worker_credentials_file" {
  value       = autopkgtest_broker_user.worker.credentials_file
  description = "The worker's credentials: a line for each server."
}

output "operator_credentials_file" {
  value       = autopkgtest_broker_user.operator.credentials_file
  description = "Those of whoever requests tests and commands workers."
}
