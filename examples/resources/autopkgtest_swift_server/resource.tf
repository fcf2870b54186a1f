resource "autopkgtest_swift_server" "main" {}
