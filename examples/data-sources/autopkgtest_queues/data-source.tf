data "autopkgtest_queues" "all" {
  broker     = autopkgtest_rabbitmq_server.broker.broker
  depends_on = [autopkgtest_request_queues.queues]
}

output "waiting" {
  value = { for q in data.autopkgtest_queues.all.queues : q.name => q.ready if q.ready > 0 }
}
