data "autopkgtest_health" "cloud" {
  broker                     = autopkgtest_rabbitmq_server.broker.broker
  requester_credentials_file = autopkgtest_broker_user.britney.credentials_file
  store                      = autopkgtest_swift_server.store.store
  web_url                    = autopkgtest_web.web.url

  # All of the cloud: a plan that changes one of these looks when it was applied.
  depends_on = [
    autopkgtest_rabbitmq_server.broker,
    autopkgtest_swift_server.store,
    autopkgtest_broker.broker,
    autopkgtest_broker_user.britney,
    autopkgtest_request_queues.queues,
    autopkgtest_web.web,
  ]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = join("\n", self.problems)
    }
  }
}
