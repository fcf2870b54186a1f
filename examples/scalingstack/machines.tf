# The machines of the services, in one project.

locals {
  machines = ["broker", "web", "worker"]
  services = { rc_file = var.services_rc_file }
  # Beside ssh, which the operators have everywhere.
  group_of = {
    broker = autopkgtest_security_group.broker.name
    web    = autopkgtest_security_group.web.name
    worker = autopkgtest_security_group.machines.name
  }
}

# How Terraform gets there. The key is made where Terraform runs, and is in this file alone.
resource "autopkgtest_keypair" "machines" {
  cloud            = local.services
  name             = "${var.stack}-machines"
  private_key_file = "${var.directory}/keys/machines"
}

resource "autopkgtest_security_group" "machines" {
  cloud       = local.services
  name        = "${var.stack}-machines"
  description = "ssh for operators"
  rules       = [for network in var.operators : { protocol = "tcp", ports = "22", cidr = network, description = "operators" }]
}

resource "autopkgtest_security_group" "broker" {
  cloud   = local.services
  name    = "${var.stack}-broker"
  presets = { broker = { from = var.gatekeepers, from_groups = [autopkgtest_security_group.machines.id] } }
}

# 80 and 443 are for what speaks TLS in front of the website, if something does. The store's port is one of the stack's own.
resource "autopkgtest_security_group" "web" {
  cloud   = local.services
  name    = "${var.stack}-web"
  presets = { web = {} }
  rules = concat(
    [
      { protocol = "tcp", ports = tostring(var.web_port), cidr = "0.0.0.0/0", description = "the website" },
      { protocol = "tcp", ports = "20000-32767", remote_group = autopkgtest_security_group.machines.id, description = "results, of workers" },
    ],
    [for network in var.gatekeepers : { protocol = "tcp", ports = "20000-32767", cidr = network, description = "results, for the gatekeeper" }],
  )
}

resource "autopkgtest_instance" "machines" {
  for_each      = toset(local.machines)
  cloud         = local.services
  name          = "${var.stack}-${each.key}"
  image_pattern = var.image_pattern
  flavor        = var.flavor
  network       = var.network
  groups        = distinct([autopkgtest_security_group.machines.name, local.group_of[each.key]])
  key           = autopkgtest_keypair.machines.name
  wait_for      = var.hosts == null ? "host_key" : "active"
}

# Kept while instances come and go.
resource "autopkgtest_floating_ip" "machines" {
  for_each    = toset(local.machines)
  cloud       = local.services
  name        = "${var.stack}-${each.key}"
  pool        = var.pool
  instance_id = autopkgtest_instance.machines[each.key].id
}
