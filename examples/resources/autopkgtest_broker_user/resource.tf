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

# Dashboards look at the lengths of queues, over AMQP or with the management API.
resource "autopkgtest_broker_user" "monitor" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "monitor"
  role   = "monitor"
}

# Rights in the broker's own words, for what no role is made for: this one may read one release's queues.
resource "autopkgtest_broker_user" "auditor" {
  broker = autopkgtest_rabbitmq_server.main.broker
  name   = "auditor"

  permissions = {
    configure = "^$"
    write     = "^$"
    read      = "^debci-noble-.*$"
  }
}
