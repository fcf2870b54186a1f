# The deployment of 2015 in today's form: broker, store and website, and worker on instances of one project of a cloud, testbeds in the
# regions of others. Its inputs are the files that it had then: a worker.conf, and RC files.

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
  # What worker.conf says of queues and testbeds; it says nothing of passwords here.
  conf          = provider::autopkgtest::worker_conf(file(var.worker_conf), var.worker_conf)
  releases      = local.conf.releases
  architectures = local.conf.architectures == null ? ["amd64"] : local.conf.architectures
  contexts      = local.conf.contexts

  # Where worker.conf leaves them to us.
  key_name = local.conf.key_name == null ? "${var.stack}-testbeds" : local.conf.key_name
  groups   = local.conf.groups == null ? ["default"] : local.conf.groups

  # How Terraform reaches each machine, where its services listen, and where others find them.
  hosts = { for name in local.machines : name => var.hosts != null ? var.hosts[name] : {
    address       = autopkgtest_floating_ip.machines[name].address
    port          = null
    user          = null
    identity_file = autopkgtest_keypair.machines.private_key_file
    host_key      = autopkgtest_instance.machines[name].host_key
  } }
  inside  = { for name in local.machines : name => var.hosts != null ? var.hosts[name].address : autopkgtest_instance.machines[name].address }
  outside = { for name in local.machines : name => var.hosts != null ? var.hosts[name].address : autopkgtest_floating_ip.machines[name].address }
}
