output "url" {
  value       = autopkgtest_web.web.url
  description = "The website."
}

output "britney_credentials_file" {
  value       = autopkgtest_broker_user.britney.credentials_file
  description = "Britney's credentials, on the machine where Terraform runs."
}

output "store_credentials_file" {
  value       = autopkgtest_swift_server.store.store.credentials_file
  description = "Where the store's credentials are, by its name ssh://..."
}
