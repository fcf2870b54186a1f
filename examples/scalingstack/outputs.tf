output "page" {
  description = "The website."
  value       = autopkgtest_web.web.url
}

output "results" {
  description = "Public address above the result containers."
  value       = replace(autopkgtest_swift_server.store.store.storage_url, local.inside["web"], local.outside["web"])
}

# The secret itself would stand in the state.
output "britney_credentials_file" {
  description = "File with the line ADT_AMQP = ... for britney's configuration, on the machine where Terraform runs."
  value       = autopkgtest_broker_user.britney.credentials_file
}

output "britney_credentials_command" {
  description = "Prints that line."
  value       = "cat '${autopkgtest_broker_user.britney.credentials_file}'"
}

output "queues" {
  description = "Request queues."
  value       = autopkgtest_request_queues.queues.names
}
