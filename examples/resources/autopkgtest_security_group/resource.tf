# What the workers boot: they alone may log in.
resource "autopkgtest_security_group" "testbeds" {
  cloud   = { rc_file = "/srv/cloud/novarc-lcy01" }
  name    = "autopkgtest-testbeds"
  presets = { testbed = { from = ["10.24.0.0/24"] } }
}

# A broker that the gatekeeper's host and the workers reach, with a rule of its own beside.
resource "autopkgtest_security_group" "broker" {
  cloud   = { rc_file = "/srv/cloud/novarc-lcy01" }
  name    = "autopkgtest-broker"
  presets = { broker = { from = ["192.0.2.7", "10.24.0.0/24"] } }
  rules = [
    { protocol = "any", remote_group = "self", description = "the nodes of the cluster among themselves" },
    { protocol = "tcp", ports = "15671", cidr = "198.51.100.0/24", description = "operators" },
  ]
}

# The group that a server is in when it names none: one rule is added, and all that is there stays.
resource "autopkgtest_security_group" "default" {
  cloud = { rc_file = "/srv/cloud/novarc-lcy01" }
  name  = "default"
  adopt = true
  rules = [{ protocol = "tcp", ports = "22", cidr = "10.24.0.0/24", description = "ssh from the workers" }]
}
