output "credentials_file" {
  description = "File with the line ADT_AMQP = ... for britney's configuration. Its path stays, its content rotates."
  value       = autopkgtest_broker_user.requester.credentials_file
}

output "management_url" {
  description = "For autopkgtest-cloud rotate and expire."
  value       = autopkgtest_rabbitmq_server.broker.broker.management_url
}

output "administrator_credentials_file" {
  description = "For the same."
  value       = autopkgtest_rabbitmq_server.broker.broker.credentials_file
}
