# The name is the one that the worker asks for. The key is made where Terraform runs, and is in this file alone.
resource "autopkgtest_keypair" "worker" {
  cloud            = { rc_file = "/srv/cloud/novarc-lcy01" }
  worker_conf      = "/srv/cloud/worker.conf"
  private_key_file = "/srv/cloud/testbed_ed25519"
}

# The same key in another region, where it has to be a key pair of its own.
resource "autopkgtest_keypair" "worker_lgw01" {
  cloud      = { rc_file = "/srv/cloud/novarc-lgw01" }
  name       = autopkgtest_keypair.worker.name
  public_key = autopkgtest_keypair.worker.public_key
}
