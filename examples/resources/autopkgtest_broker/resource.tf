resource "autopkgtest_broker" "main" {
  broker = autopkgtest_rabbitmq_server.main.broker
}
