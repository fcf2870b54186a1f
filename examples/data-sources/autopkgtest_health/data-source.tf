data "autopkgtest_health" "cloud" {
  broker                     = autopkgtest_rabbitmq_server.main.broker
  requester_credentials_file = autopkgtest_broker_user.britney.credentials_file
  store                      = autopkgtest_swift_server.main.store
  web_url                    = autopkgtest_web.main.url

  # All of the cloud: a plan that changes one of these looks when it was applied.
  depends_on = [
    autopkgtest_rabbitmq_server.main,
    autopkgtest_swift_server.main,
    autopkgtest_broker.main,
    autopkgtest_broker_user.britney,
    autopkgtest_request_queues.main,
    autopkgtest_web.main,
  ]

  lifecycle {
    postcondition {
      condition     = self.healthy
      error_message = join("\n", self.problems)
    }
  }
}
