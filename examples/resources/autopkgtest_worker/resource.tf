resource "autopkgtest_worker" "main" {
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.main.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.main.delivery_timeout
  images                  = [autopkgtest_testbed_image.noble.path]
  releases                = ["noble"]
  architectures           = ["amd64"]
  slots                   = 4
  drain_timeout           = "30m"

  depends_on = [autopkgtest_request_queues.main, autopkgtest_result_containers.main]
}

# Testbeds in two regions of a cloud, by the operator's own worker.conf: the rest of what it needs is said here.
resource "autopkgtest_worker" "cloud" {
  directory               = "/srv/cloud-worker"
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.main.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.main.delivery_timeout
  worker_conf             = "/srv/cloud/worker.conf"
  rc_files                = ["/srv/cloud/novarc-lcy01", "/srv/cloud/novarc-lgw01"]
  key_file                = autopkgtest_keypair.worker.private_key_file
  key_name                = autopkgtest_keypair.worker.name
  releases                = ["noble"]
  architectures           = ["amd64"]

  depends_on = [autopkgtest_request_queues.main, autopkgtest_result_containers.main, autopkgtest_keypair.worker_lgw01]
}
