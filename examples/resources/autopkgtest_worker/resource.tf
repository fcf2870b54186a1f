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
