# britney may publish requests and nothing else. Its configuration includes the file.
resource "autopkgtest_broker_user" "britney" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "britney"
  role   = "requester"

  # Requests to a queue that does not exist are lost without a word.
  depends_on = [autopkgtest_request_queues.main]
}

# People, with autopkgtest-cloud, request tests as well, and cancel and requeue running ones.
resource "autopkgtest_broker_user" "operator" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "operator"
  role   = "operator"

  depends_on = [autopkgtest_request_queues.main]
}

resource "autopkgtest_broker_user" "worker" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "worker"
  role   = "worker"
}

resource "autopkgtest_broker_user" "collector" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "collector"
  role   = "collector"
}
