resource "autopkgtest_web" "main" {
  broker_credentials_file   = autopkgtest_broker_user.collector.credentials_file
  operator_credentials_file = autopkgtest_broker_user.operator.credentials_file
  storage_url               = autopkgtest_swift_server.main.store.storage_url
  releases                  = ["noble", "questing"]
  architectures             = ["amd64", "arm64"]
}

output "page" {
  value = autopkgtest_web.main.url
}
