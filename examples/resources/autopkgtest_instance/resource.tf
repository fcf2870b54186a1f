# The newest image of Ubuntu 24.04 that the project sees, in its only network.
resource "autopkgtest_instance" "workers" {
  cloud         = { rc_file = "/srv/cloud/novarc-lcy01" }
  name          = "autopkgtest-workers"
  image_pattern = "ubuntu/ubuntu-noble-24.04-amd64-server"
  flavor        = "m1.large"
  groups        = ["default"]
  key           = "deployer"
  mirror        = "http://archive.example/ubuntu"
  wait_for      = "host_key"
}

# What is put on it by ssh believes the key that the machine has shown to the cloud, and no other.
output "workers" {
  value = {
    address  = autopkgtest_instance.workers.address
    host_key = autopkgtest_instance.workers.host_key
  }
}
