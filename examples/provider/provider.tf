terraform {
  required_version = ">= 1.11"
  required_providers {
    autopkgtest = {
      source = "registry.terraform.io/autopkgtest-cloud/autopkgtest"
    }
  }
}

# A stack in one folder of this machine. The example examples/local is a whole one.
provider "autopkgtest" {
  stack     = "trial"
  directory = "/srv/autopkgtest"
}
