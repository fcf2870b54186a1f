data "autopkgtest_queues" "all" {
  broker     = autopkgtest_rabbitmq_server.main.broker
  depends_on = [autopkgtest_request_queues.main]
}

output "waiting" {
  value = { for q in data.autopkgtest_queues.all.queues : q.name => q.ready if q.ready > 0 }
}
