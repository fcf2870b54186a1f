# debci-noble-amd64, debci-huge-noble-amd64, debci-ppa-noble-amd64, debci-upstream-noble-amd64, and so on
resource "autopkgtest_request_queues" "main" {
  broker        = autopkgtest_rabbitmq_server.main.broker
  releases      = ["noble", "questing"]
  architectures = ["amd64", "arm64"]
}
