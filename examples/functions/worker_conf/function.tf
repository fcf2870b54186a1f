# The queues of a worker's releases: debci-noble-amd64.
output "queues" {
  value = [
    for release in provider::autopkgtest::worker_conf(file("/srv/cloud/worker.conf"), "worker.conf").releases :
    provider::autopkgtest::queue_name("normal", release, "amd64")
  ]
}
