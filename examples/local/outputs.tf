output "page" {
  description = "Address of the website."
  value       = autopkgtest_web.web.url
}

output "britney_credentials_file" {
  description = "File with the line ADT_AMQP = ... for britney's configuration."
  value       = autopkgtest_broker_user.britney.credentials_file
}

output "operator_configuration" {
  description = "File for autopkgtest-cloud --config."
  value       = autopkgtest_web.web.operator_configuration
}

output "results" {
  description = "Public address above the result containers."
  value       = autopkgtest_swift_server.store.store.storage_url
}

output "directory" {
  description = "Folder of the stack."
  value       = var.directory
}
