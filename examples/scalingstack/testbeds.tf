# What testbeds need in each of their regions: the worker's key, and its way in.

data "autopkgtest_cloud_rc" "testbeds" {
  files = var.rc_files
}

locals {
  regions = { for name, region in data.autopkgtest_cloud_rc.testbeds.regions : name => { rc_file = region.source } }
}

# One key, by the name that worker.conf has.
resource "autopkgtest_keypair" "testbeds" {
  for_each         = local.regions
  cloud            = each.value
  name             = local.key_name
  private_key_file = "${var.directory}/keys/testbeds"
}

# Testbeds are in the groups that worker.conf names, of which the first is ours; where it names none they are in the project's own group
# default, which is the cloud's and gets one rule more.
resource "autopkgtest_security_group" "testbeds" {
  for_each = local.regions
  cloud    = each.value
  name     = local.groups[0]
  adopt    = local.groups[0] == "default"
  presets  = { testbed = { from = distinct([local.inside["worker"], local.outside["worker"]]) } }
}
